"""The widening tool: configs in, a checkpoint out."""

import pytest
import torch

from motionlab.apis import init_model
from motionlab.engine.checkpoint import write_checkpoint
from motionlab.utils import ConfigError
from tests.test_tools import load_tool

tool = load_tool('model_converters/widen.py')

_CONFIG = """
default_scope = 'motionlab'
model = dict(
    type='PoseLifter', codec=dict(type='ImagePoseLifting', num_input_channels={channels}),
    backbone=dict(type='TCN', channels=8, kernel_sizes=(3, 3)),
    head=dict(type='PoseRegressionHead', loss=dict(type='MPJPELoss')))
"""


@pytest.fixture
def files(tmp_path) -> dict[int, str]:
    """Config files by number of channels, and a checkpoint of the XY lifter."""
    paths = {}
    for channels in (2, 4):
        path = tmp_path / f'lifter_{channels}.py'
        path.write_text(_CONFIG.format(channels=channels))
        paths[channels] = str(path)
    write_checkpoint({'state_dict': init_model(paths[2]).state_dict()}, tmp_path / 'narrow.pth')
    return paths


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_writes_a_checkpoint_that_answers_as_the_narrow_one(files, tmp_path, capsys, suffix):
    narrow, dst = tmp_path / 'narrow.pth', tmp_path / f'wide{suffix}'
    tool.main([files[2], str(narrow), files[4], str(dst)])
    assert 'new: 0\n' in capsys.readouterr().out
    x = torch.randn(2, 9, 17, 4)
    with torch.no_grad():
        expected = init_model(files[2], narrow)(x[..., :2])
        torch.testing.assert_close(init_model(files[4], dst)(x), expected, atol=1e-6, rtol=0)


def test_narrowing_is_refused_and_writes_nothing(files, tmp_path):
    tool.main([files[2], str(tmp_path / 'narrow.pth'), files[4], str(tmp_path / 'wide.pth')])
    with pytest.raises(ConfigError, match='x, y, expected x, y, c, d'):
        tool.main([files[4], str(tmp_path / 'wide.pth'), files[2], str(tmp_path / 'back.pth')])
    assert not (tmp_path / 'back.pth').exists()
