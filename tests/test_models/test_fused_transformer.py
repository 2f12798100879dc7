"""Layers for inference compute what the layers compute."""

import pytest
import torch
from torch import nn

from motionlab.models.layers import TransformerLayer, fused_layers


def _layers(activation: nn.Module, norm: str = 'pre') -> nn.ModuleList:
    torch.manual_seed(0)
    return nn.ModuleList(TransformerLayer(16, 2, 4, norm, 0.1, activation=activation) for _ in range(3)).eval()


@pytest.mark.parametrize('activation', [nn.SiLU(), nn.ReLU(), nn.GELU()])
@torch.no_grad()
def test_equal_to_the_layers(activation):
    layers, x = _layers(activation), torch.randn(5, 7, 16)
    expected, found, before = x, x, x.clone()
    for layer, fused in zip(layers, fused_layers(layers, x), strict=True):
        assert fused is not layer
        expected, found = layer(expected), fused(found)
    assert torch.equal(found, expected)
    assert torch.equal(x, before)


def test_layers_stay_as_they_are_where_something_else_is_going_on():
    layers, x = _layers(nn.SiLU()), torch.randn(1, 2, 16)
    assert fused_layers(layers, x) is layers  # Gradients are wanted.
    with torch.no_grad():
        with torch.autocast('cpu', torch.bfloat16):
            assert fused_layers(layers, x) is layers
        after = _layers(nn.SiLU(), 'post')
        assert fused_layers(after, x) is after
        assert fused_layers(layers.train(), x) is layers
