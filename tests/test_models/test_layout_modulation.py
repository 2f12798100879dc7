"""Modulation by covering set: values, gradients, and what zero offsets leave alone."""

import pytest
import torch
from torch import nn

from motionlab.models.layers.block_linear import BlockLinear
from motionlab.models.layers.layout_modulation import ModulationHead, affine, block_delta, gated, offset_rows


def _double(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def test_rows_by_token_are_the_expanded_ones():
    index = torch.randint(3, (2, 5))
    x, scale, shift = _double(2, 5, 4), _double(2, 3, 4), _double(2, 3, 4)
    expanded = [rows.gather(1, index[..., None].expand(-1, -1, 4)) for rows in (scale, shift)]
    assert torch.equal(affine(x, scale, shift, index), x * expanded[0] + expanded[1])
    assert torch.equal(gated(x, scale, index), expanded[0] * x)
    torch.autograd.gradcheck(lambda *args: affine(*args, index), (x, scale, shift))
    torch.autograd.gradcheck(lambda *args: gated(*args, index), (x, scale))
    assert torch.equal(affine(x, scale[:, :1], shift[:, :1], None), x * scale[:, :1] + shift[:, :1])


def test_no_gradient_where_none_is_wanted():
    index = torch.zeros(2, 5, dtype=torch.int64)
    x, scale, shift = (_double(2, 5, 4).detach() for _ in range(3))
    affine(x.requires_grad_(), scale[:, :1], shift[:, :1], index).sum().backward()
    assert torch.equal(x.grad, scale[:, :1].expand(2, 5, 4)) and scale.grad is None and shift.grad is None


def test_offsets_of_the_embedding():
    torch.manual_seed(0)
    linear, temb, offset = nn.Linear(8, 24), torch.randn(2, 8), torch.randn(2, 3, 8)
    base = linear(nn.functional.silu(temb))
    expected = linear(nn.functional.silu(temb[:, None] + offset))
    torch.testing.assert_close(offset_rows(linear, temb, offset, base), expected, atol=1e-6, rtol=1e-5)
    offset[:, 1] = 0
    assert torch.equal(offset_rows(linear, temb, offset, base)[:, 1], base)
    half, base = linear.bfloat16(), base.bfloat16()
    assert torch.equal(offset_rows(half, temb.bfloat16(), offset, base)[:, 1], base)


@pytest.mark.parametrize('param, text, width', [('vector', None, 8), ('vector', True, 16), ('scalar12', None, 12),
                                                ('scalar12', False, 6)])
def test_only_the_last_layer_starts_at_zero(param, text, width):
    torch.manual_seed(0)
    head, shared = ModulationHead(3, 8, param, text), torch.randn(5, 8)
    assert head(shared).shape == (3, 5, width) and not head(shared).any()
    assert all(parameter.any() for parameter in head.shared_mlp.parameters())
    last = head.block_projections if param == 'vector' else head.block_adaln_projs
    nn.init.normal_(last.weight)
    one_by_one = torch.stack([block_delta(layers, shared) for layers in head.of_blocks()])
    torch.testing.assert_close(head(shared), one_by_one, atol=1e-6, rtol=1e-5)


def test_block_linear_is_a_linear_per_block():
    layers, x = BlockLinear(3, 4, 5), torch.randn(2, 4)
    each = torch.stack([nn.functional.linear(x, weight, bias) for weight, bias in layers.unbind()])
    torch.testing.assert_close(layers(x), each)
    torch.testing.assert_close(layers(x.expand(3, 2, 4)), each)
    assert layers.weight.abs().max() <= 0.5 and layers.weight.std() > 0.1 and layers.bias.any()
    assert not any(parameter.any() for parameter in BlockLinear(3, 4, 5, zero=True).parameters())
    assert BlockLinear(3, 4, 5, bias=False).unbind()[0][1] is None
