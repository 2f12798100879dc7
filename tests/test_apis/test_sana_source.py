import pytest
import torch

from motionlab.apis.pretrained import convert, init_model, load_pretrained, save_conversion
from motionlab.utils import CheckpointError, ConfigError
from tests.test_apis.sana_files import PlainPacman, PlainSana, inputs, write_checkpoint
from tests.test_apis.vposer_files import logged

pytest.importorskip('diffusers')

_HEADS = dict(num_heads=4, linear_head_dim=8)


def _file(folder, plain: PlainSana, **changes):
    return write_checkpoint(folder / 'sana.pth', {**plain.state_dict(), **changes})


def test_shapes_tell_all_but_heads(tmp_path):
    plain = PlainSana(in_channels=6, out_channels=3, hidden=24, depth=3, heads=3, linear_head=12, patch=2, ratio=1.7,
                      token=7, tokens=4, qk_norm=True, y_norm=False)
    net = load_pretrained('sana', _file(tmp_path, plain), config=dict(num_heads=3, linear_head_dim=12))
    assert (net.in_channels, net.out_channels, net.patch_size) == (6, 3, 2) and not net.training
    x, times, y = inputs(channels=6, tokens=4, actions=7)
    with torch.no_grad():
        torch.testing.assert_close(net(x, times, y), plain(x, times, y), atol=1e-5, rtol=1e-5)


def test_published_numbers_of_heads_are_the_defaults(tmp_path):
    plain = PlainSana(hidden=128, depth=1, heads=16, linear_head=32)
    net = load_pretrained('sana', _file(tmp_path, plain))
    x, times, y = inputs()
    with torch.no_grad():
        torch.testing.assert_close(net(x, times, y), plain(x, times, y), atol=1e-5, rtol=1e-5)


def test_positions_are_found_in_the_file(tmp_path):
    plain = PlainSana(use_pe=True)
    x, times, y = inputs()
    with torch.no_grad():
        for config in (_HEADS, dict(**_HEADS, use_pe=True, input_size=8)):
            net = load_pretrained('sana', _file(tmp_path, plain), config=config)
            torch.testing.assert_close(net(x, times, y), plain(x, times, y), atol=1e-5, rtol=1e-5)
    scaled = _file(tmp_path, PlainSana(use_pe=True, interpolation=2.0))
    with pytest.raises(CheckpointError, match=r'not the table of positions for pe_interpolation=1\.0'):
        load_pretrained('sana', scaled, config=_HEADS)
    assert load_pretrained('sana', scaled, config=dict(**_HEADS, pe_interpolation=2.0)).net.patch_embed.pos_embed.any()
    with pytest.raises(CheckpointError, match='input_size=8, but config says 16'):
        load_pretrained('sana', scaled, config=dict(**_HEADS, pe_interpolation=2.0, input_size=16))


def test_report_names_what_is_left_out(tmp_path):
    report = convert('sana', _file(tmp_path, PlainSana()), config=_HEADS)
    assert not report.missing and not report.unknown
    assert set(report.dropped) == {'y_embedder.y_embedding', 'pos_embed', 'optimizer', 'scheduler', 'epoch',
                                   'rng_state'}


@pytest.mark.parametrize(('config', 'message'), [
    (dict(depth=3), 'depth=2, but config says 3'), (dict(hidden_size=32), 'hidden_size=16, but config says 32'),
    (dict(mlp_ratio=4.0), r'mlp_ratio=2\.5, but config says 4'), (dict(qk_norm=True), 'qk_norm=False, but config'),
    (dict(out_channels=8), 'out_channels=4, but config')])
def test_config_must_agree_with_the_weights(tmp_path, config, message):
    with pytest.raises(CheckpointError, match=message):
        load_pretrained('sana', _file(tmp_path, PlainSana()), config={**_HEADS, **config})


@pytest.mark.parametrize(('config', 'message'), [
    (dict(timestep_norm_scale_factor=1000.0), 'factor=1000'),
    (dict(attn_type='flash'), "attn_type='flash', expected 'linear'"), (dict(ffn_type='mlp'), "expected 'glumbconv'"),
    (dict(linear_head_dims=8), 'meant linear_head_dim'), (dict(num_heads=5), 'num_heads and linear_head_dim')])
def test_forms_that_there_are_not_are_refused(tmp_path, config, message):
    with pytest.raises(ConfigError, match=message):
        load_pretrained('sana', _file(tmp_path, PlainSana()), config={**_HEADS, **config})


def test_other_values_of_a_config_are_named_and_passed_over(tmp_path):
    others = dict(hidden_channels=None, guidance_type='classifier-free', timestep_norm_scale_factor=1.0)
    with logged() as lines:
        load_pretrained('sana', _file(tmp_path, PlainSana()), config={**_HEADS, **others})
    assert any('hidden_channels, guidance_type mean nothing here' in line for line in lines)


def test_section_of_a_whole_config_is_read(tmp_path):
    path = _file(tmp_path, PlainSana())
    whole = dict(data=dict(resolution=512), model=dict(model='SanaMS', **_HEADS), vae=dict(scale_factor=0.41407))
    assert convert('sana', path, config=whole).config == convert('sana', path, config=_HEADS).config


def test_wrong_files_are_refused(tmp_path):
    plain = PlainSana()
    without = {name: tensor for name, tensor in plain.state_dict().items() if name != 'blocks.1.attn.proj.bias'}
    with pytest.raises(CheckpointError, match=r'1 weights are missing .*attn1\.to_out\.0\.bias'):
        load_pretrained('sana', write_checkpoint(tmp_path / 'less.pth', without), config=_HEADS)
    with pytest.raises(CheckpointError, match=r'no place .*blocks\.0\.attn\.qkv\.bias'):
        load_pretrained('sana', _file(tmp_path, plain, **{'blocks.0.attn.qkv.bias': torch.zeros(48)}), config=_HEADS)
    with pytest.raises(CheckpointError, match=r'not finite'):
        load_pretrained('sana', _file(tmp_path, plain, **{'t_block.1.bias': torch.full((96,), torch.nan)}),
                        config=_HEADS)
    with pytest.raises(CheckpointError, match='shapes differ'):
        load_pretrained('sana', _file(tmp_path, plain, **{'blocks.0.attn.qkv.weight': torch.zeros(47, 16)}),
                        config=_HEADS)
    with pytest.raises(CheckpointError, match='no key matches this source'):
        load_pretrained('sana', write_checkpoint(tmp_path / 'other.pth', {'fc.weight': torch.ones(2)}))
    wrapper = PlainPacman('conv3d', 4, 3, plain).state_dict()
    with pytest.raises(CheckpointError, match=r'no key matches this source: x_embedder\.proj\.weight'):
        load_pretrained('sana', write_checkpoint(tmp_path / 'wrapper.pth', wrapper))


def test_transformer_cut_out_of_a_game_model_is_read(tmp_path):
    plain = PlainSana()
    cut = {f'sana.{name}': tensor for name, tensor in plain.state_dict().items()}
    net = load_pretrained('sana', write_checkpoint(tmp_path / 'cut.pth', cut), config=_HEADS)
    x, times, y = inputs()
    with torch.no_grad():
        torch.testing.assert_close(net(x, times, y), plain(x, times, y), atol=1e-5, rtol=1e-5)


def test_conversion_is_saved_and_loaded(tmp_path):
    report = convert('sana', _file(tmp_path, PlainSana()), config=_HEADS)
    save_conversion(report, tmp_path / 'ours.pth')
    net = init_model(dict(model=report.config), tmp_path / 'ours.pth')
    x, times, y = inputs()
    with torch.no_grad():
        assert torch.equal(net(x, times, y), report.model(x, times, y))


def test_data_parallel_and_half_precision_files_are_read(tmp_path):
    plain = PlainSana()
    halves = {f'module.{name}': tensor.half() for name, tensor in plain.state_dict().items()}
    net = load_pretrained('sana', write_checkpoint(tmp_path / 'half.pth', halves), config=_HEADS)
    assert {tensor.dtype for tensor in net.parameters()} == {torch.float32}
    x, times, y = inputs()
    with torch.no_grad():
        torch.testing.assert_close(net(x, times, y), plain(x, times, y), atol=0.02, rtol=0.02)
