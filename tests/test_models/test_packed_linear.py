"""Packed linear layers compute what linear layers compute, and what follows them."""

import pytest
import torch
from torch import nn

from motionlab.models.layers import PackedLinear, TransformerLayer, fused_layers
from motionlab.utils import ConfigError

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason='needs oneDNN')


@pytest.mark.parametrize('shape', [(1, 24), (16, 24), (17, 24), (2, 5, 24), (300, 24)])
@pytest.mark.parametrize('bias', [True, False])
@torch.no_grad()
def test_equal_to_the_layer(shape, bias):
    torch.manual_seed(0)
    linear, x = nn.Linear(24, 40, bias=bias), torch.randn(shape)
    packed, expected, residual = PackedLinear(linear), linear(x), torch.randn(*shape[:-1], 40)
    before = residual.clone()
    torch.testing.assert_close(packed(x), expected)
    torch.testing.assert_close(packed(x, residual=residual), expected + residual)
    for activation in (nn.SiLU(), nn.ReLU(), nn.GELU()):
        torch.testing.assert_close(packed(x, activation), activation(expected))
        torch.testing.assert_close(packed(x, activation, residual), activation(expected) + residual)
    torch.testing.assert_close(packed(x.mT.contiguous().mT), expected)
    assert torch.equal(residual, before)


@torch.no_grad()
def test_layer_may_change_afterwards():
    linear, x = nn.Linear(4, 4), torch.randn(3, 4)
    packed, expected = PackedLinear(linear), linear(x)
    linear.weight.zero_(), linear.bias.zero_()
    torch.testing.assert_close(packed(x), expected)
    assert not packed.state_dict()


@pytest.mark.parametrize('activation', [nn.SiLU(), nn.ReLU(), nn.GELU()])
@torch.no_grad()
def test_layers_with_packed_weights(activation):
    torch.manual_seed(0)
    layer, x = TransformerLayer(16, 2, 4, 'pre', 0.1, activation=activation).eval(), torch.randn(5, 7, 16)
    expected, before = layer(x), x.clone()
    for module, name in ((layer, 'fc1'), (layer, 'fc2'), (layer.attention, 'qkv'), (layer.attention, 'proj')):
        setattr(module, name, PackedLinear(getattr(module, name)))
    torch.testing.assert_close(fused_layers([layer], x)[0](x), expected)
    torch.testing.assert_close(layer(x), expected)
    assert torch.equal(x, before)


def test_other_weights_are_refused():
    with pytest.raises(ConfigError, match=r'found torch\.float64 weights on cpu'):
        PackedLinear(nn.Linear(4, 4).double())
    with pytest.raises(ConfigError, match='weights on meta'):
        PackedLinear(nn.Linear(4, 4, device='meta'))
