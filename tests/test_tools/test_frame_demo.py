from types import SimpleNamespace

import pytest

from motionlab.utils import ConfigError, MotionLabError
from tests.frame_stores import write_frame_store
from tests.test_tools import TOOLS, load_tool


@pytest.fixture
def demo(monkeypatch):
    tool = load_tool('frame_demo.py')
    tool.commands = []
    monkeypatch.setattr(tool, 'subprocess', SimpleNamespace(run=lambda words, cwd, check: (
        tool.commands.append(words[1:]), SimpleNamespace(returncode=len(tool.commands) == 2))[1]))
    return tool


def _config(tmp_path, demo, text=''):
    path = tmp_path / 'config.py'
    path.write_text(f"_base_ = ['{TOOLS.parent / demo.CONFIG}']\n"
                    f"train_dataloader = dict(dataset=dict(data_root='{tmp_path}', ann_file='store'))\n{text}")
    return str(path)


def test_what_is_there_is_not_recorded_again(demo, tmp_path, capsys):
    """And a command that fails ends the demo by its name."""
    write_frame_store(tmp_path / 'store', (5,))
    with pytest.raises(MotionLabError, match='"Evaluate" ended with return code'):
        demo.main(['--config', _config(tmp_path, demo), '--work-dir', str(tmp_path / 'run')])
    assert [words[0] for words in demo.commands] == ['tools/train.py', 'tools/frame_prediction.py']
    assert demo.commands[0][-1] == '--resume' and 'recorded already' in capsys.readouterr().out


def test_recording_is_asked_for_what_the_config_trains_on(demo, tmp_path):
    with pytest.raises(MotionLabError, match='"Train"'):
        demo.main(['--config', _config(tmp_path, demo), '--frames', '70', '--mazes', '2'])
    assert demo.commands[0] == ['tools/dataset_converters/record_maze_game.py', str(tmp_path / 'store'), '--frames',
                                '70', '--mazes', '2']


def test_other_configs(demo, tmp_path):
    other = "train_dataloader = dict(dataset=dict(_delete_=True, type='PoseLiftingDataset', ann_file='x'))"
    with pytest.raises(ConfigError, match='expected a FrameWindowDataset'):
        demo.main(['--config', _config(tmp_path, demo, other)])
