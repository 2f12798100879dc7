"""The generator of synthetic motion files is repeatable, resumable, and refuses to mix two sets."""

import numpy as np
import pytest

from motionlab.datasets.mocap.motion_file import load_motion
from motionlab.utils import DataError
from tests.test_tools import load_tool

tool = load_tool('dataset_converters/generate_motion.py')


def test_writes_clips_and_keeps_finished_ones(tmp_path, capsys):
    folder = tmp_path / 'procedural'
    assert tool.main([str(folder), '--clips', '3', '--seconds', '0.5']) == 0
    files = sorted(folder.glob('*/*.npz'))
    assert [file.name for file in files] == [f'procedural_00000{i}.npz' for i in range(3)]
    first = load_motion(files[0])
    assert first['poses'].shape == (15, 165) and str(first['subject']) == 'procedural'
    files[1].unlink()
    stamp = files[0].stat().st_mtime_ns
    assert tool.main([str(folder), '--clips', '3', '--seconds', '0.5']) == 0
    assert files[0].stat().st_mtime_ns == stamp and files[1].is_file()
    assert 'already there' in capsys.readouterr().out


def test_refuses_a_folder_of_other_clips(tmp_path):
    tool.main([str(tmp_path / 'a'), '--clips', '1', '--seconds', '0.2'])
    with pytest.raises(DataError, match='holds another set'):
        tool.main([str(tmp_path / 'a'), '--clips', '1', '--seconds', '0.2', '--seed', '1'])


def test_shifted_set_is_another_population(tmp_path):
    tool.main([str(tmp_path / 'procedural_shifted'), '--minutes', '0.01', '--seconds', '0.2', '--shifted'])
    files = sorted((tmp_path / 'procedural_shifted').glob('*/*.npz'))
    assert len(files) == 3
    motion = load_motion(files[0])
    assert str(motion['subject']) == 'procedural-shifted' and str(motion['style']) == 'fast'
    assert np.ptp(motion['rest_joints'][:, 1]) < 1.4


@pytest.mark.parametrize('argv', [['x'], ['x', '--clips', '1', '--minutes', '1'], ['x', '--clips', '0']])
def test_bad_arguments_exit(argv):
    with pytest.raises(SystemExit):
        tool.parse_args(argv)
