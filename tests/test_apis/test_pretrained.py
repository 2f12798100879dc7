import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from motionlab.apis import init_model, load_pretrained
from motionlab.apis.pretrained import convert, save_conversion
from motionlab.models import PoseLifter
from motionlab.utils import CheckpointError, ConfigError


def _original(channels: int = 8, in_channels: int = 2, kernels=(3, 3), joints: int = 17, outputs: int = 17,
              seed: int = 0) -> dict[str, torch.Tensor]:
    """A state dict with the keys and shapes of VideoPose3D's TemporalModel."""
    rng = torch.Generator().manual_seed(seed)
    state = {'expand_conv.weight': torch.randn(channels, joints * in_channels, kernels[0], generator=rng),
             'shrink.weight': torch.randn(3 * outputs, channels, 1, generator=rng),
             'shrink.bias': torch.randn(3 * outputs, generator=rng)}
    norms = ['expand_bn'] + [f'layers_bn.{i}' for i in range(2 * (len(kernels) - 1))]
    for i, kernel in enumerate(kernels[1:]):
        state[f'layers_conv.{2 * i}.weight'] = torch.randn(channels, channels, kernel, generator=rng)
        state[f'layers_conv.{2 * i + 1}.weight'] = torch.randn(channels, channels, 1, generator=rng)
    for norm in norms:
        for name in ('weight', 'bias', 'running_mean', 'running_var'):
            state[f'{norm}.{name}'] = torch.rand(channels, generator=rng)
        state[f'{norm}.num_batches_tracked'] = torch.tensor(3)
    return state


def _published(path, state: dict, zipped: bool = True, **entries) -> str:
    """A file as VideoPose3D writes it, pickled random state included."""
    torch.save(dict(epoch=80, lr=1e-4, random_state=np.random.RandomState(1),
                    optimizer={'state': {0: {'exp_avg': torch.ones(2)}}, 'param_groups': [{'params': [0]}]},
                    model_pos=state, model_traj=None, **entries), path, _use_new_zipfile_serialization=zipped)
    return str(path)


@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'legacy'])
@pytest.mark.parametrize('case', ['sym_333_xy', 'causal_333_xy', 'sym_333_xycd', 'sb_111_xycd_remove_root',
                                  'sym_353_xy'])
def test_videopose3d_answers_as_the_original(shared_dir, tmp_path, case, zipped):
    reference = torch.load(shared_dir / 'reference/auglift/tcn_videopose3d.pt', weights_only=True)[case]
    config = reference['config']
    path = _published(tmp_path / 'pretrained.bin', reference['state_dict_videopose3d'], zipped)
    net = load_pretrained('videopose3d', path, causal=config['causal'])
    assert isinstance(net, PoseLifter) and not net.training
    with torch.no_grad():
        torch.testing.assert_close(net(reference['input']), reference['out'], atol=1e-5, rtol=0)
        window = reference['input'][:, :config['receptive_field']]
        torch.testing.assert_close(net(window), reference['out_single_frame_strided'], atol=1e-5, rtol=0)


@pytest.mark.parametrize('case', ['videopose3d_33333', 'mmpose_tcn_243', 'auglift_simplebaseline_xycd'])
def test_every_published_key_is_matched(shared_dir, tmp_path, case):
    shapes = json.loads((shared_dir / 'reference/auglift/checkpoint_keys.json').read_text())[case]
    state = {key: torch.zeros(shape, dtype=torch.half if shape else torch.long) for key, shape in shapes.items()}
    torch.save({'state_dict': state}, tmp_path / 'file.pth')
    conversion = convert('videopose3d' if case.startswith('video') else 'mmpose-tcn', tmp_path / 'file.pth')
    assert (len(conversion.matched), conversion.dropped, conversion.missing) == (len(shapes), [], [])
    model = conversion.model
    if case != 'auglift_simplebaseline_xycd':
        assert sum(p.numel() for p in model.parameters()) == 16_952_371 and model.backbone.receptive_field == 243
    else:
        assert model.codec.channels == ('x', 'y', 'c', 'd') and model.codec.remove_root
        assert not model.codec.rule.signed_confidence                # AugLift's own rule for this network


def _mmpose(state: dict[str, torch.Tensor], head: str = 'head') -> dict[str, torch.Tensor]:
    """The same weights under mmpose's names."""
    def renamed(key: str) -> str:
        if key.startswith('shrink.'):
            return key.replace('shrink.', f'{head}.conv.')
        kind = 'conv' if '_conv.' in key else 'bn'
        if key.startswith('expand'):
            return f"backbone.expand_conv.{kind}.{key.split('.', 1)[1]}"
        _, number, rest = key.split('.')
        return f'backbone.tcn_blocks.{int(number) // 2}.conv{int(number) % 2 + 1}.0.{kind}.{rest}'

    return {renamed(key): value for key, value in state.items()}


@pytest.mark.parametrize(('head', 'others'), [('head', {}), ('keypoint_head', {'traj_head.conv.bias': torch.ones(3)})],
                         ids=['1.x', '0.x semi-supervised'])
def test_mmpose_names_give_the_same_network(tmp_path, head, others):
    state = _original(kernels=(3, 3, 5))
    _published(tmp_path / 'a.bin', state)
    torch.save({'state_dict': {**_mmpose(state, head), **others}}, tmp_path / 'b.pth')
    x = torch.randn(2, 50, 17, 2)
    with torch.no_grad():
        theirs = load_pretrained('videopose3d', tmp_path / 'a.bin')(x)
        torch.testing.assert_close(load_pretrained('mmpose-tcn', tmp_path / 'b.pth')(x), theirs, atol=0, rtol=0)
    torch.save(state, tmp_path / 'theirs.pth')                # by another rule encoded: not to be mixed up
    with pytest.raises(CheckpointError, match='no key matches'):
        load_pretrained('mmpose-tcn', tmp_path / 'theirs.pth')


@pytest.mark.parametrize(('channels', 'last'), [(6, 'dmax'), (10, 'y_dmax')])
@pytest.mark.parametrize('source', ['videopose3d', 'mmpose-tcn'])
def test_temporal_networks_with_depth_ranges(tmp_path, source, channels, last):
    state = _original(in_channels=channels, kernels=(3,))
    state['shrink.weight'] /= 10                              # answers of the size of a person
    torch.save({'state_dict': _mmpose(state) if source == 'mmpose-tcn' else state}, tmp_path / 'file.pth')
    net = load_pretrained(source, tmp_path / 'file.pth')
    assert len(net.codec.channels) == channels and net.codec.channels[-1] == last
    x = torch.randn(2, 5, 17, channels)
    features = torch.nn.functional.conv1d(x.flatten(2).transpose(1, 2), state['expand_conv.weight'])
    norm = [state[f'expand_bn.{name}'] for name in ('running_mean', 'running_var', 'weight', 'bias')]
    features = torch.nn.functional.batch_norm(features, *norm).relu()
    expected = torch.nn.functional.conv1d(features, state['shrink.weight'], state['shrink.bias'])
    with torch.no_grad():
        torch.testing.assert_close(net(x).flatten(2).transpose(1, 2), expected, atol=1e-5, rtol=1e-5)


def test_weights_without_a_place_are_refused(tmp_path):
    path = _published(tmp_path / 'odd.bin', {**_original(), 'attention.weight': torch.ones(1)})
    with pytest.raises(CheckpointError, match=r'odd\.bin: 1 weights have no place .*attention\.weight'):
        load_pretrained('videopose3d', path)
    assert convert('videopose3d', path).unknown == ['attention.weight']


@pytest.mark.parametrize('wrap', [
    lambda state: state, lambda state: {'state_dict': state},
    lambda state: {'model_pos': {f'module.{key}': value for key, value in state.items()}}])
def test_bare_and_wrapped_weights(tmp_path, wrap):
    state = _original()
    torch.save(wrap(state), tmp_path / 'file.bin')
    net = load_pretrained('videopose3d', tmp_path / 'file.bin')
    torch.testing.assert_close(net.head.fc.bias.data, state['shrink.bias'])


def test_sizes_are_inferred_and_hints_say_the_rest(tmp_path):
    path = _published(tmp_path / 'a.bin', _original(channels=12, in_channels=3, kernels=(5, 3), outputs=16))
    net = load_pretrained('videopose3d', path, causal=True)
    assert (net.backbone.receptive_field, net.backbone.causal, net.backbone.out_channels) == (15, True, 12)
    assert net.codec.channels == ('x', 'y', 'c') and net.codec.remove_root
    assert load_pretrained('videopose3d', path, third_is_depth=True).codec.channels == ('x', 'y', 'd')
    path = _published(tmp_path / 'b.bin', _original(joints=15, outputs=15))
    net = load_pretrained('videopose3d', path, num_joints=15)
    assert net(torch.zeros(1, 9, 15, 2)).shape == (1, 1, 15, 3)
    with pytest.raises(CheckpointError, match=r'30 inputs.*num_joints=17'):
        load_pretrained('videopose3d', path)


def test_the_report_counts_everything(tmp_path):
    state = _original()
    del state['layers_bn.1.bias']
    path = _published(tmp_path / 'a.bin', {**state, 'extra.weight': torch.ones(1)})
    conversion = convert('videopose3d', path)
    assert len(conversion.matched) == len(state)
    assert conversion.dropped == ['extra.weight', 'epoch', 'lr', 'random_state', 'optimizer', 'model_traj']
    assert conversion.missing == ['backbone.blocks.0.pointwise.norm.bias']
    assert 'missing: 1 (backbone.blocks.0.pointwise.norm.bias)' in conversion.summary()
    with pytest.raises(CheckpointError, match='1 weights are missing'):
        load_pretrained('videopose3d', path)


@pytest.mark.parametrize(('state', 'message'), [
    ({'layer.weight': torch.ones(2)}, 'no key matches.*layer.weight'),
    ({}, 'holds no tensors'),
    ({**_original(), 'layers_conv.1.weight': torch.ones(8, 9, 1)}, r'layers_conv|pointwise.*\(8, 9, 1\).*\(8, 8, 1\)'),
    ({**_original(), 'shrink.weight': torch.ones(60, 8, 1)}, '60 outputs'),
    ({**_original(), 'expand_conv.weight': torch.ones(8, 85, 3)}, '85 inputs')])
def test_files_that_do_not_fit_name_file_and_reason(tmp_path, state, message):
    path = _published(tmp_path / 'odd.bin', state)
    with pytest.raises(CheckpointError, match=rf'(?s)odd\.bin.*({message})'):
        load_pretrained('videopose3d', path)


def test_unknown_source_and_hint(tmp_path):
    with pytest.raises(ConfigError, match=r"'videopose'.*mmpose-tcn.*videopose3d"):
        load_pretrained('videopose', tmp_path / 'x')
    with pytest.raises(ConfigError, match=r'no hint causl; .*causal.*num_joints'):
        load_pretrained('videopose3d', tmp_path / 'x', causl=True)
    with pytest.raises(CheckpointError, match='found no file'):
        load_pretrained('videopose3d', tmp_path / 'x')


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_conversions_load_with_their_config(tmp_path, suffix):
    conversion = convert('videopose3d', _published(tmp_path / 'a.bin', _original()))
    save_conversion(conversion, tmp_path / f'out{suffix}')
    net = init_model(dict(model=conversion.config), tmp_path / f'out{suffix}')
    x = torch.randn(1, 9, 17, 2)
    with torch.no_grad():
        torch.testing.assert_close(net(x), conversion.model(x), atol=0, rtol=0)
    wider = {**conversion.config, 'backbone': {**conversion.config['backbone'], 'kernel_sizes': (3, 3, 3)}}
    with pytest.raises(CheckpointError, match='missing'):
        init_model(dict(model=wider), tmp_path / f'out{suffix}')
    with pytest.raises(ConfigError, match=r'\.bin'):
        save_conversion(conversion, tmp_path / 'out.bin')


def test_the_import_is_light():
    heavy = ('mmengine', 'matplotlib', 'scipy')
    code = f'import sys; from motionlab.apis import load_pretrained; print([m for m in {heavy} if m in sys.modules])'
    out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == '[]'
