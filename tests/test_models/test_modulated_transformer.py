import torch
from torch import nn

from motionlab.models.layers import ModulatedTransformerLayer, modulate

DIM, HEADS, FFN = 12, 3, 20


def test_modulation_of_a_norm():
    x, shift, scale = torch.randn(2, 5, DIM), torch.randn(2, 1, DIM), torch.randn(2, 1, DIM)
    centred = (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(modulate(x, shift, scale), centred * (1 + scale) + shift, atol=1e-5, rtol=1e-5)


def test_fresh_layers_are_the_identity_and_learn_from_gates_on():
    torch.manual_seed(0)
    layer, x = ModulatedTransformerLayer(DIM, HEADS, FFN, 0.0, nn.SiLU()), torch.randn(2, 5, DIM)
    out = layer(x, torch.randn(2, 1, DIM))
    assert torch.equal(out, x)
    out.square().sum().backward()
    gradient = layer.modulation.weight.grad.unflatten(0, (6, DIM)).flatten(1).abs().sum(1)
    assert (gradient > 0).tolist() == [False, False, True, False, False, True]


def test_every_part_of_the_condition_acts():
    torch.manual_seed(0)
    layer = ModulatedTransformerLayer(DIM, HEADS, FFN, 0.0, nn.SiLU())
    x, condition = torch.randn(2, 5, DIM), torch.ones(2, 1, DIM)
    parts = torch.randn(6, DIM)
    layer.modulation.bias.data = parts.flatten()
    shift1, scale1, gate1, shift2, scale2, gate2 = parts
    attended = x + gate1 * layer.attention(layer.attention.qkv(modulate(x, shift1, scale1)))
    hidden = nn.functional.silu(layer.fc1(modulate(attended, shift2, scale2)))
    torch.testing.assert_close(layer(x, condition), attended + gate2 * layer.fc2(hidden))
