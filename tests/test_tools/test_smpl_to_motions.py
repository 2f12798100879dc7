import pytest

from motionlab.datasets.motion_store import open_motion_store
from motionlab.utils import DataError
from tests.test_datasets.test_action_motions import write_folder
from tests.test_tools import load_tool

tool = load_tool('dataset_converters/smpl_to_motions.py')


def test_actions(tmp_path, capsys):
    folder = write_folder(tmp_path / 'actions')
    command = [str(folder), str(tmp_path / 'out'), '--vald-share', '0.4', '--piece-frames', '20']
    assert tool.main(command) == 0
    said = ' '.join(capsys.readouterr().out.split())
    assert 'classes: 0 kick, 1 run, 2 walk-slow, 3 walk' in said and 'frames kept' in said
    assert set(open_motion_store(tmp_path / 'out/vald.npz').lengths) == {20}
    assert tool.main(command) == 0
    assert 'complete already' in capsys.readouterr().out
    with pytest.raises(DataError, match='no folder at this path'):
        tool.main([str(tmp_path / 'nothing'), str(tmp_path / 'out')])
