"""The converter: its report, its options, and what makes it fail."""

import pytest
import torch

from motionlab.apis import init_model
from motionlab.utils import CheckpointError
from tests.test_apis.sana_files import PlainPacman, PlainSana, write_checkpoint
from tests.test_apis.test_poseformer_source import _auglift
from tests.test_apis.test_pretrained import _original, _published
from tests.test_tools import load_tool

tool = load_tool('model_converters/convert.py')


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_writes_a_checkpoint_that_answers_as_the_source(tmp_path, capsys, suffix):
    state = _original(in_channels=4)
    src, dst = _published(tmp_path / 'src.bin', state), tmp_path / 'new' / f'dst{suffix}'
    tool.main(['videopose3d', src, str(dst), '--causal'])
    report = capsys.readouterr().out
    assert f'matched: {len(state)} (' in report and 'dropped: 5 (epoch' in report and 'missing: 0\n' in report
    model = dict(type='PoseLifter', codec=dict(type='ImagePoseLifting', num_input_channels=4),
                 backbone=dict(type='TCN', channels=8, kernel_sizes=(3, 3), causal=True),
                 head=dict(type='PoseRegressionHead'))
    net = init_model(dict(model=model), dst)
    torch.testing.assert_close(net.backbone.expand.conv.weight.data, state['expand_conv.weight'])
    assert not list(dst.parent.glob('*.tmp'))


def test_the_config_text_in_the_file_is_complete(tmp_path):
    tool.main(['videopose3d', _published(tmp_path / 'src.bin', _original()), str(tmp_path / 'dst.pth')])
    text = torch.load(tmp_path / 'dst.pth', weights_only=True)['meta']['cfg']
    (tmp_path / 'config.py').write_text(text)
    init_model(tmp_path / 'config.py', tmp_path / 'dst.pth')


@pytest.mark.parametrize('drop', ['everything', 'shrink.bias'])
def test_nothing_matched_or_something_missing_fails_and_writes_nothing(tmp_path, capsys, drop):
    state = {'other': torch.ones(1)} if drop == 'everything' else _original()
    state.pop(drop, None)
    with pytest.raises(CheckpointError, match='no key matches' if drop == 'everything' else '1 weights are missing'):
        tool.main(['videopose3d', _published(tmp_path / 'src.bin', state), str(tmp_path / 'dst.pth')])
    if drop != 'everything':
        assert 'missing: 1 (head.fc.bias)' in capsys.readouterr().out
    assert not (tmp_path / 'dst.pth').exists()


def test_unknown_sources_and_options_are_usage_errors(tmp_path, capsys):
    for argv in (['vp3d', 'a', 'b'], ['videopose3d', 'a', 'b', '--chanels', '3']):
        with pytest.raises(SystemExit) as stopped:
            tool.main(argv)
        assert stopped.value.code == 2
    assert 'mmpose-tcn' in capsys.readouterr().err


def test_poseformer_takes_the_number_of_heads(tmp_path, capsys):
    reference = _auglift(4, depth_proj=8)
    torch.save({'state_dict': reference.state_dict()}, tmp_path / 'src.pth')
    dst = tmp_path / 'dst.pth'
    tool.main(['auglift-poseformer', str(tmp_path / 'src.pth'), str(dst), '--num-heads', '4'])
    assert 'dropped: 0\nmissing: 0\n' in capsys.readouterr().out
    (tmp_path / 'config.py').write_text(torch.load(dst, weights_only=True)['meta']['cfg'])
    inputs = torch.randn(2, 5, 17, 12)
    with torch.no_grad():
        found = init_model(tmp_path / 'config.py', dst)(inputs)
        torch.testing.assert_close(found, reference(inputs), atol=1e-5, rtol=0)


def test_values_of_the_original_config_come_from_a_file_or_as_json(tmp_path, capsys):
    pytest.importorskip('diffusers')
    plain = PlainPacman('conv3d', 12, 3, PlainSana(24, 12))
    src, dst = write_checkpoint(tmp_path / 'latest.pth', plain.state_dict()), tmp_path / 'dst.pth'
    (tmp_path / 'game.yaml').write_text('model:\n  num_heads: 4\n  linear_head_dim: 8\ntrain:\n  num_epochs: 9\n')
    given = ['pacman', str(src), str(dst), '--codec', '{"type": "SpaceToDepth", "patch": 2}', '--config']
    configs = []
    for values in (str(tmp_path / 'game.yaml'), '{"num_heads": 4, "linear_head_dim": 8}'):
        tool.main([*given, values])
        assert 'vae.encoder.layers.0.weight' in capsys.readouterr().out
        configs.append(torch.load(dst, weights_only=True)['meta']['cfg'])
    assert configs[0] == configs[1]
    (tmp_path / 'config.py').write_text(configs[0])
    assert init_model(tmp_path / 'config.py', dst).backbone.num_history == 3
    for values, message in (('{"num_heads"', 'no JSON'), ('game.txt', 'or a .json or .yaml file')):
        with pytest.raises(SystemExit):
            tool.main([*given, values])
        assert message in capsys.readouterr().err
