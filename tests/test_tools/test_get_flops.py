"""Counts of parameters and multiply-accumulates against numbers worked out by hand."""

import pytest
import torch
from torch import nn

from motionlab.utils import ConfigError
from tests.test_tools import load_tool

tool = load_tool('analysis_tools/get_flops.py')


def test_linear_convolution_and_attention_are_counted():
    linear, _ = tool.count_macs(nn.Linear(5, 7), torch.zeros(3, 5))
    assert linear == 3 * 5 * 7
    convolution, _ = tool.count_macs(nn.Conv1d(4, 6, 3), torch.zeros(2, 4, 10))
    assert convolution == 2 * 8 * 4 * 6 * 3
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    total, by_module = tool.count_macs(layer, torch.zeros(2, 10, 8))
    projections, products, mlp = 2 * 10 * 8 * 8 * 4, 2 * 2 * 10 * 10 * 8, 2 * 10 * 8 * 16 * 2
    assert total == projections + products + mlp
    assert by_module['linear1'] == mlp // 2


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'lifter.py'
    path.write_text("model = dict(type='PoseLifter', codec=dict(type='ImagePoseLifting', num_input_channels=4),\n"
                    "    backbone=dict(type='TCN', channels=8, kernel_sizes=(3, 3), dropout=0.0),\n"
                    "    head=dict(type='PoseRegressionHead'))\n")
    return str(path)


def _numbers(capsys) -> dict[str, int]:
    lines = [line.split(': ') for line in capsys.readouterr().out.splitlines() if ': ' in line]
    return {name: int(value.split(' ')[0].replace(',', '')) for name, value in lines if name != 'Input shape'}


def test_config_with_defaults(config, capsys):
    tool.main([config])
    parameters = 68 * 8 * 3 + 8 * 8 * 3 + 8 * 8 + 3 * 2 * 8 + 8 * 51 + 51
    macs = 3 * 68 * 8 * 3 + 8 * 8 * 3 + 8 * 8 + 8 * 51       # strided: three positions, then one
    assert _numbers(capsys) == {'Params': parameters, 'MACs': macs, 'FLOPs': 2 * macs}


def test_options(config, capsys):
    tool.main([config, '--input-shape', '11', '17', '2', '-b', '5', '--cfg-options',
               'model.codec.num_input_channels=2'])
    dense = 9 * 34 * 8 * 3 + 3 * (8 * 8 * 3 + 8 * 8 + 8 * 51)
    assert _numbers(capsys)['MACs'] == 5 * dense
    tool.main([config, '-s'])
    assert 'backbone.expand.conv' in capsys.readouterr().out


def test_unknown_input_asks_for_the_shape():
    with pytest.raises(ConfigError, match='--input-shape'):
        tool.input_shape(nn.Linear(2, 2))
