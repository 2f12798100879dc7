import sys

import pytest
import torch

from motionlab.models.backbones import SanaDiT
from motionlab.registry import MODELS
from motionlab.utils import ConfigError, DataError

diffusers = pytest.importorskip('diffusers')

_SMALL = dict(in_channels=6, out_channels=3, hidden_size=32, depth=2, num_heads=4, linear_head_dim=16)


def _stand_in(net: SanaDiT, **options) -> torch.nn.Module:
    """The network as diffusers runs it by itself, with the same weights."""
    torch.manual_seed(3)
    plain = diffusers.SanaTransformer2DModel(
        in_channels=6, out_channels=3, num_attention_heads=2, attention_head_dim=16, num_layers=2,
        num_cross_attention_heads=4, cross_attention_head_dim=8, cross_attention_dim=32, caption_channels=5,
        sample_size=32, **{'interpolation_scale': None, **options})
    plain.load_state_dict(net.net.state_dict())
    return plain


def _inputs(height=8, width=12):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(3, 6, height, width, generator=generator), torch.randn(3, 4, 5, generator=generator)
    return x, torch.tensor([0.0, 333.25, 999.0]), y


@pytest.mark.parametrize(('ours', 'theirs'), [
    ({}, {}), (dict(patch_size=2), dict(patch_size=2)),
    (dict(use_pe=True, pe_interpolation=2.0), dict(interpolation_scale=2.0)),
    (dict(qk_norm=True), dict(qk_norm='rms_norm_across_heads'))], ids=['plain', 'patches', 'positions', 'norms'])
def test_equals_diffusers_with_gradients(ours, theirs):
    net = SanaDiT(**_SMALL, **ours)
    plain = _stand_in(net, **theirs)
    mask = torch.tensor([[1, 1, 1, 1], [0, 1, 1, 1], [1, 0, 0, 1]])
    x, times, y = _inputs()
    found_x, expected_x = x.clone().requires_grad_(), x.clone().requires_grad_()
    found = net(found_x, times, y, mask)
    expected = plain(expected_x, y, times, encoder_attention_mask=mask).sample
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    for out in (found, expected):
        out.square().mean().backward()
    torch.testing.assert_close(found_x.grad, expected_x.grad, atol=1e-6, rtol=1e-4)
    grads = dict(plain.named_parameters())
    for name, parameter in net.net.named_parameters():
        torch.testing.assert_close(parameter.grad, grads[name].grad, atol=1e-5, rtol=1e-3, msg=name)


def test_norms_of_either_attention_alone():
    x, times, y = _inputs()
    for options, name in ((dict(qk_norm=True, cross_norm=False), 'attn1'), (dict(cross_norm=True), 'attn2')):
        names = {key for key in SanaDiT(**_SMALL, **options).state_dict() if 'norm_q' in key or 'norm_k' in key}
        assert len(names) == 4 and all(name in key for key in names)
        assert SanaDiT(**_SMALL, **options)(x, times, y).isfinite().all()


def test_start_of_training():
    torch.manual_seed(0)
    net = SanaDiT(in_channels=48, hidden_size=256, depth=2).net
    for layer in (net.time_embed.emb.timestep_embedder.linear_1, net.time_embed.emb.timestep_embedder.linear_2,
                  net.time_embed.linear, net.caption_projection.linear_2):
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
    for layer in (net.transformer_blocks[0].attn1.to_q, net.transformer_blocks[1].attn2.to_out[0], net.proj_out):
        bound = (6 / sum(layer.weight.shape)) ** 0.5
        assert 0.97 * bound < layer.weight.abs().max().item() <= bound
        assert layer.bias is None or not layer.bias.any()
    patches = net.patch_embed.proj.weight.flatten(1)
    bound = (6 / sum(patches.shape)) ** 0.5
    assert 0.97 * bound < patches.abs().max().item() <= bound
    assert torch.equal(net.caption_norm.weight, torch.full((256,), 0.01))
    for table in (net.scale_shift_table, net.transformer_blocks[1].scale_shift_table):
        assert table.std().item() == pytest.approx(256 ** -0.5, rel=0.15)
    x, times, y = torch.randn(2, 48, 4, 4), torch.tensor([5.0, 900.0]), torch.randn(2, 3, 5)
    wrapper = SanaDiT(in_channels=48, hidden_size=256, depth=2)
    assert wrapper(x, times, y).std() > 0.1


def test_published_size():
    with torch.device('meta'):
        net = MODELS.build(dict(type='SanaDiT', in_channels=8, out_channels=4))
        assert sum(parameter.numel() for parameter in net.parameters()) == 3_316_612
        assert net(torch.empty(1, 8, 32, 32), torch.empty(1), torch.empty(1, 1, 3, 5)).shape == (1, 4, 32, 32)


def test_parts_that_are_kept_give_the_same():
    net = SanaDiT(**_SMALL, patch_size=2)
    x, times, y = _inputs()
    with torch.no_grad():
        parts, rows = net.embed_tokens(y), net.embed_time(times)
        assert torch.equal(net.run(net.embed_image(x), rows, parts, (8, 12)), net(x, times, y))


def test_masked_tokens_and_other_samples_mean_nothing():
    net = SanaDiT(**_SMALL)
    x, times, y = _inputs()
    mask = torch.tensor([[1, 1, 0, 1]] * 3).bool()
    with torch.no_grad():
        out = net(x, times, y[:, None], mask[:, None])
        changed = y.clone()
        changed[:, 2] = 7.0
        torch.testing.assert_close(net(x, times, changed, mask[:, None, None]), out, atol=0, rtol=0)
        assert net(x, times, y, torch.zeros(3, 4)).isfinite().all()
        y[1:], x[1:] = 3.0, -2.0
        torch.testing.assert_close(net(x, times, y, mask)[0], out[0], atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(net(x[:1], times[:1], y[:1], mask[:1]), out[:1], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_keeps_times_apart_and_sums_finite(dtype):
    torch.manual_seed(0)
    net = SanaDiT(**_SMALL)
    x, _, y = _inputs(32, 32)
    with torch.no_grad(), torch.autocast('cpu', dtype):
        rows = net.embed_time(torch.tensor([748.0, 749.25]))
        assert not torch.equal(rows[0], rows[1])
        attention = net.net.transformer_blocks[0].attn1
        out = attention(400 * torch.randn(1, 1024, 32).to(dtype))
        assert out.isfinite().all()
        found = net(x, torch.tensor([0.0, 333.25, 999.0]), y)
    with torch.no_grad():
        expected = net(x, torch.tensor([0.0, 333.25, 999.0]), y)
    torch.testing.assert_close(found.float(), expected, atol=0.1, rtol=0.1)


@pytest.mark.parametrize('change', [dict(num_heads=5), dict(linear_head_dim=12), dict(depth=0)])
def test_sizes_that_do_not_fit_are_refused(change):
    with pytest.raises(ConfigError, match='hidden_size that num_heads and'):
        SanaDiT(**{**_SMALL, **change})


def test_malformed_inputs_are_named():
    net = SanaDiT(**_SMALL, patch_size=2)
    x, times, y = _inputs()
    for given, message in (((x[:, :5], times, y), 'x'), ((x[..., :7], times, y), 'patch size 2'),
                           ((x, times[:2], y), 'timestep'), ((x, times, y[..., :4]), "'?y'?"),
                           ((x, times, y[:2]), 'y'), ((x, times, y, torch.ones(3, 3)), 'mask')):
        with pytest.raises(DataError, match=message):
            net(*given)


def test_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, 'diffusers.models.transformers.sana_transformer', None)
    with pytest.raises(ConfigError, match=r'pip install .motionlab\[sana\]'):
        SanaDiT(**_SMALL)
