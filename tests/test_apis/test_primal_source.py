"""Weights of PRIMAL in every published form, and what is refused."""

import pytest
import torch

from motionlab.apis import init_model, load_pretrained
from motionlab.apis.pretrained import convert, save_conversion
from motionlab.models import MotionDiffuser
from motionlab.utils import CheckpointError, ConfigError
from tests.test_apis.primal_files import PlainPrimal, averages, batch, table, write_lightning
from tests.test_apis.vposer_files import logged
from tests.test_tools import load_tool

_HEADS = dict(num_heads=4)


@pytest.fixture(scope='module')
def plain() -> PlainPrimal:
    return PlainPrimal()


def _file(folder, plain, name='last.ckpt'):
    return write_lightning(folder / name, plain.state_dict(), averages(plain))


@torch.no_grad()
def _agree(net, plain, *control) -> None:
    x, t, first = batch(plain)
    seed = net.embed_seed(first)
    assert isinstance(net, MotionDiffuser) and not net.training and seed.shape == (3, 1, 16)
    torch.testing.assert_close(seed, plain.emb_motionseed(first), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(net(x, t, seed), plain(x, t, seed), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'legacy'])
@pytest.mark.parametrize('schema', ['old', 'upgraded'])
def test_raw_and_averaged_weights_of_lightning_files(tmp_path, plain, schema, zipped):
    averaged = PlainPrimal()
    averaged.load_state_dict(averages(plain), strict=False)
    path = write_lightning(tmp_path / 'last.ckpt', plain.state_dict(), averages(plain), schema, zipped)
    with logged() as lines:
        _agree(load_pretrained('primal', path, **_HEADS, ema=False), plain)
        _agree(load_pretrained('primal', path, **_HEADS, ema=True), averaged)
        _agree(load_pretrained('primal', path, **_HEADS), averaged)
    assert sum('taking the averaged weights (ema_state_dict), 34 tensors' in line for line in lines) == 2
    assert sum(f'loaded 34/34 tensors from {path}' in line for line in lines) == 3
    raw = write_lightning(tmp_path / 'early.ckpt', plain.state_dict(), None, schema, zipped)
    _agree(load_pretrained('primal', raw, **_HEADS, ema=False), plain)


def test_other_wrappings(tmp_path, plain):
    state = plain.state_dict()
    torch.save(state, tmp_path / 'bare.pt')
    torch.save({f'module.{key}': value for key, value in state.items()}, tmp_path / 'parallel.pt')
    torch.save({'ema_state_dict': averages(plain, 1.0)}, tmp_path / 'averages.pt')
    torch.save({key: value.half() for key, value in state.items()}, tmp_path / 'half.pt')
    for name in ('bare', 'parallel'):
        _agree(load_pretrained('primal', tmp_path / f'{name}.pt', **_HEADS, ema=False), plain)
    _agree(load_pretrained('primal', tmp_path / 'averages.pt', **_HEADS), plain)
    half = load_pretrained('primal', tmp_path / 'half.pt', **_HEADS, ema=False)
    assert {value.dtype for value in half.state_dict().values()} == {torch.float32}


def _without(state, *starts):
    return {key: value for key, value in state.items() if not key.startswith(starts)}


@pytest.mark.parametrize('averaged', [None, {}], ids=['none', 'empty'])
def test_averages_that_are_not_there_name_the_way_out(tmp_path, plain, averaged):
    path = write_lightning(tmp_path / 'early.ckpt', plain.state_dict(), averaged)
    torch.save(plain.state_dict(), tmp_path / 'bare.pt')
    for file in (path, tmp_path / 'bare.pt'):
        with pytest.raises(CheckpointError, match=rf'{file.name}: holds no averaged weights.*ema=False'):
            load_pretrained('primal', file, **_HEADS, ema=True)


def test_averages_of_other_weights_are_refused(tmp_path, plain):
    part = _without(averages(plain), 'emb_motionseed')
    path = write_lightning(tmp_path / 'part.ckpt', plain.state_dict(), part)
    with pytest.raises(CheckpointError, match=r'part\.ckpt: 2 weights of state_dict are not in ema_state_dict '
                                              r'\(emb_motionseed\.weight, emb_motionseed\.bias\).*ema=False'):
        load_pretrained('primal', path, **_HEADS)
    more = {**averages(plain), 'bias': torch.ones(1)}
    path = write_lightning(tmp_path / 'more.ckpt', plain.state_dict(), more)
    with pytest.raises(CheckpointError, match=r'1 weights of ema_state_dict are not in state_dict \(bias\)'):
        load_pretrained('primal', path, **_HEADS)


@pytest.mark.parametrize(('channels', 'hints', 'found'), [
    (267, {}, (1, '6d', ('joints', 'velocity'))),
    (201, {}, (1, 'axis_angle', ('joints', 'velocity'))),
    (333, {}, (2, '6d', ('joints', 'velocity', 'acceleration'))),
    (267, {'order': 2, 'rotation': '6d'}, (2, '6d', ('joints', 'acceleration'))),
    (267, {'rotation': 'axis_angle'}, (2, 'axis_angle', ('joints', 'velocity', 'acceleration'))),
    (201, {'order': 2}, (2, 'axis_angle', ('joints', 'acceleration'))),
])
def test_channels_tell_the_family(tmp_path, channels, hints, found):
    path = _file(tmp_path, PlainPrimal(channels=channels))
    with logged() as lines:
        net = load_pretrained('primal', path, **_HEADS, **hints, metric=True)
    codec = net.codec
    assert (codec.order, codec.rotation, tuple(codec.features), codec.in_channels) == (*found, channels)
    assert codec.metric and not load_pretrained('primal', path, **_HEADS, **hints).codec.metric
    family = {1: 'velocity', 2: 'acceleration'}[found[0]]
    assert any(f'{channels} channels: {family} (order={found[0]}, rotation={found[1]!r}' in line for line in lines)
    assert any('may also be' in line for line in lines) == (channels != 333)
    assert any("give activation='relu'" in line for line in lines) == (found[0] == 2)


@pytest.mark.parametrize(('options', 'told'), [
    (dict(), 'in context, one condition token, 2 layers of width 16 with 4 heads, silu'),
    (dict(separate=True, act='gelu'), 'in context, two condition tokens, 2 layers of width 16 with 4 heads, gelu'),
    (dict(adaln=True), 'adaLN, 2 layers of width 16 with 4 heads, silu'),
    (dict(adaln=True, channels=333), '333 channels: acceleration'),
    (dict(num_layers=3, width=32, steps=20), 'in context, one condition token, 3 layers of width 32'),
    (dict(control='action'), 'controlled by action (controlnet2)'),
    (dict(control='goal2'), 'controlled by goal (controlnet2)'),
    (dict(control='goal3', adapter='controlnet1'), 'controlled by goal (controlnet1)'),
    (dict(control='action', adapter='finetune'), 'controlled by action (finetune)'),
])
@torch.no_grad()
def test_names_and_shapes_tell_the_network(tmp_path, options, told):
    plain = PlainPrimal(**options)
    hints = dict(activation=options.get('act', 'silu'), separate_condition_token=options.get('separate', False))
    if options.get('adapter') == 'controlnet1':
        hints['adapter'] = 'controlnet1'
    with logged() as lines:
        conversion = convert('primal', _file(tmp_path, plain), **_HEADS, **hints, ema=False)
    assert any(told in line for line in lines)
    assert not any("give activation='relu'" in line for line in lines)  # AdaLN has SiLU everywhere.
    assert not conversion.missing and not conversion.unknown
    tables = {'denoiser.time_embedding.pe', 'denoiser.pos_embedding.pe'}
    assert set(conversion.matched) == set(plain.state_dict()) - tables and tables <= set(conversion.dropped)
    net = conversion.model
    assert net.backbone.num_timesteps == options.get('steps', 50)
    x, _, first = batch(plain)
    t, seed = torch.tensor([0, 7, 19]), net.embed_seed(first)
    torch.testing.assert_close(net(x, t, seed), plain(x, t, seed), atol=1e-5, rtol=1e-5)
    if plain.control:
        wanted = torch.tensor([1, 5, 9]) if plain.control == 'action' else torch.randn(3, int(plain.control[-1]))
        found = net.backbone(x, t, seed, net.backbone.embed_control(wanted), 0.7)
        torch.testing.assert_close(found, plain(x, t, seed, plain.wanted(wanted), 0.7), atol=1e-5, rtol=1e-5)


_STATE = PlainPrimal().state_dict()
_CONTROLLED = PlainPrimal(control='action').state_dict()
_LAYER = 'denoiser.tf_encoder.layers.1.'


@pytest.mark.parametrize(('state', 'message'), [
    ({'layer.weight': torch.ones(3)}, r'no key matches this source: denoiser\.in_fc\.weight'),
    (_without(_STATE, f'{_LAYER}norm1.bias'), r'1 weights are missing \(backbone\.layers\.1\.norm1\.bias\)'),
    (_without(_STATE, 'emb_motionseed'), r'2 weights are missing \(backbone\.seed_fc'),
    (_without(_STATE, 'denoiser.tf_encoder.layers.0.'), r'layers\.0\.linear1\.weight is not among'),
    ({**_STATE, 'denoiser.tf_encoder.layers.3.norm1.bias': torch.ones(16)}, r'the layers \[0, 1, 3\], expected all'),
    ({**_STATE, f'{_LAYER}norm3.bias': torch.ones(16)}, r'1 weights have no place .*layers\.1\.norm3\.bias'),
    ({**_STATE, 'discriminator.bias': torch.ones(2)}, r'1 weights have no place .*\(discriminator\.bias\)'),
    ({**_STATE, 'denoiser.out_fc.weight': torch.ones(200, 16)}, r'out_fc\.weight is \(200, 16\) in the file'),
    ({**_STATE, 'denoiser.in_fc.weight': torch.ones(16)}, r'in_fc\.weight has the shape \(16,\), expected a matrix'),
    ({**_STATE, 'denoiser.in_fc.weight': torch.ones(16, 268)}, r'has 268 channels.*267: velocity.*333: acceleration'),
    ({**_STATE, 'denoiser.in_fc.weight': torch.ones(16, 477)}, r'477 channels, the marker form'),
    ({**_STATE, 'denoiser.in_fc.bias': torch.full((16,), torch.nan)}, r'in_fc\.bias holds numbers that are not finite'),
    ({**_STATE, 'denoiser.in_fc.bias': torch.ones(16, dtype=torch.long)}, r'in_fc\.bias holds torch\.int64'),
    ({**_STATE, 'denoiser.time_embedding.pe': table(50, 16) + 1}, r'time_embedding\.pe \(50, 16\) is not the table'),
    ({**_STATE, 'denoiser.pos_embedding.pe': table(50, 16)[0]}, r'pos_embedding\.pe \(16,\) is not the table'),
    (_without(_CONTROLLED, 'ctrl_action'), r'holds none of ctrl_action_embedding\.weight and ctrl_target\.weight'),
    ({**_CONTROLLED, 'ctrl_target.weight': torch.ones(16, 3)}, 'expected one'),
    (_without(_CONTROLLED, 'denoiser.ctrl_encoder_out.1'), r'2 weights are missing \(backbone\.adapter\.outputs\.1'),
    ({**_STATE, 'ctrl_target.weight': torch.ones(16, 4), 'ctrl_target.bias': torch.ones(16)}, 'goals of 2 or 3'),
])
def test_what_does_not_fit_is_named(tmp_path, state, message):
    path = write_lightning(tmp_path / 'odd.ckpt', state)
    with pytest.raises(CheckpointError, match=rf'odd\.ckpt: .*{message}') as caught:
        load_pretrained('primal', path, **_HEADS, ema=False)
    assert str(caught.value).count('odd.ckpt') == 1


def test_hints_that_do_not_fit_are_named(tmp_path, plain):
    path = _file(tmp_path, plain)
    for hints, error, message in (
            (dict(order=2), CheckpointError, r"order=2 is acceleration .*axis_angle.* or .*'6d'.*give rotation"),
            (dict(order=3), CheckpointError, r'order=3.*expected one of 267: velocity'),
            (dict(order=1, rotation='axis_angle'), CheckpointError, "rotation='axis_angle'; expected one of"),
            (dict(adapter='lora'), CheckpointError, r"adapter='lora'.*controlnet1.*controlnet2"),
            (dict(activation='tanh'), ConfigError, "activation='tanh'"),
            (dict(num_heads=3), ConfigError, 'num_heads.*3'),
            (dict(averaged=True), ConfigError, r'takes no hint averaged.*ema: bool = True')):
        with pytest.raises(error, match=message):
            load_pretrained('primal', path, **{**_HEADS, **hints})


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_conversions_load_with_their_config(tmp_path, suffix):
    conversion = convert('primal', _file(tmp_path, PlainPrimal(control='goal3')), **_HEADS)
    save_conversion(conversion, tmp_path / f'out{suffix}')
    loaded = init_model(dict(model=conversion.config), tmp_path / f'out{suffix}')
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in conversion.model.state_dict().items())


def test_command(tmp_path, plain, capsys):
    file, tool = _file(tmp_path, plain), load_tool('model_converters/convert.py')
    tool.main(['primal', str(file), str(tmp_path / 'out.pth'), '--num-heads', '4', '--no-ema', '--rotation', '6d',
               '--order', '1'])
    assert 'matched: 34' in capsys.readouterr().out and (tmp_path / 'out.pth').is_file()
