import pytest
import torch
from torch import nn

from motionlab.models.layers import TransformerLayer

DIM, HEADS = 12, 3


def _layer(norm: str, **options) -> TransformerLayer:
    torch.manual_seed(0)
    layer = TransformerLayer(DIM, HEADS, mlp_ratio=2, norm=norm, **options)
    for parameter in layer.parameters():                      # norms and zero biases must matter too
        nn.init.normal_(parameter, std=0.5)
    return layer


def _twin(layer: TransformerLayer, **options) -> nn.TransformerEncoderLayer:
    """PyTorch's own layer with the same weights."""
    twin = nn.TransformerEncoderLayer(
        DIM, HEADS, 2 * DIM, **{'activation': 'relu' if layer.post_norm else 'gelu', 'dropout': 0.0,
                                'layer_norm_eps': 1e-5 if layer.post_norm else 1e-6, **options},
        batch_first=True, norm_first=not layer.post_norm)
    pairs = {'self_attn.in_proj_weight': layer.attention.qkv.weight, 'self_attn.in_proj_bias': layer.attention.qkv.bias}
    for theirs, part in (('self_attn.out_proj', layer.attention.proj), ('linear1', layer.fc1), ('linear2', layer.fc2),
                         ('norm1', layer.norm1), ('norm2', layer.norm2)):
        pairs |= {f'{theirs}.weight': part.weight, f'{theirs}.bias': part.bias}
    twin.load_state_dict(pairs)
    return twin


@pytest.mark.parametrize('norm', ['post', 'pre'])
def test_equals_pytorch_with_gradients(norm):
    layer = _layer(norm)
    twin, x, y = _twin(layer), torch.randn(5, 7, DIM, requires_grad=True), torch.randn(5, 7, DIM)
    found, expected = layer(x), twin(x)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    for out in (found, expected):
        x.grad, first = None, x.grad
        (out * y).sum().backward()
    torch.testing.assert_close(x.grad, first, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(layer.attention.qkv.weight.grad, twin.self_attn.in_proj_weight.grad, atol=1e-4,
                               rtol=1e-4)


def test_other_activations_and_eps():
    layer = _layer('pre', activation=nn.SiLU(), eps=0.3)
    twin, x = _twin(layer, activation=nn.functional.silu, layer_norm_eps=0.3), torch.randn(5, 7, DIM)
    torch.testing.assert_close(layer(x), twin(x), atol=1e-5, rtol=1e-5)
    assert (layer(x) - _twin(layer, activation='relu', layer_norm_eps=0.3)(x)).abs().max() > 1e-3


def test_attention_weights_are_dropped_while_training():
    layer, x = _layer('pre', attention_dropout=0.5), torch.randn(100, 7, DIM)
    whole = layer.eval()(x)
    attention, qkv = layer.attention, layer.attention.qkv(layer.norm1(x))
    expected = attention(qkv)
    layer.train()
    assert not torch.equal(layer(x), whole)
    found = torch.stack([attention(qkv) for _ in range(200)])
    error = (found.mean(0) - expected).abs().mean() / found.std(0).mean()
    assert error < 1.5 / 200**0.5                             # unbiased
    attention.dropout.p = 0.0
    torch.testing.assert_close(attention(qkv), expected)
    attention.dropout.p = 1e-7                                # the written-out form, almost nothing dropped
    torch.testing.assert_close(attention(qkv), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('norm', ['post', 'pre'])
def test_leading_axes_are_sequences(norm):
    layer, x = _layer(norm), torch.randn(2, 3, 7, DIM)
    torch.testing.assert_close(layer(x).flatten(0, 1), layer(x.flatten(0, 1)))


def test_post_norm_drops_the_whole_layer():
    layer, x = _layer('post', drop_path=0.5), torch.randn(200, 7, DIM)
    whole = layer.eval()(x)
    out = layer.train()(x)
    dropped = (out == x).flatten(1).all(1)
    assert 60 < dropped.sum() < 140
    torch.testing.assert_close(out[~dropped], (x + (whole - x) / 0.5)[~dropped])


def test_pre_norm_drops_each_branch():
    layer, x = _layer('pre', drop_path=0.5), torch.randn(400, 7, DIM)
    after_attention = x + 2 * layer.attention(layer.attention.qkv(layer.norm1(x)))
    out = layer(x)
    nothing = (out == x).flatten(1).all(1)
    attention_only = torch.isclose(out, after_attention, atol=1e-5).flatten(1).all(1)
    assert 60 < nothing.sum() < 140 and 60 < attention_only.sum() < 140


def test_dropout_acts_while_training_only():
    layer, x = _layer('post', dropout=0.5), torch.randn(3, 7, DIM)
    assert not torch.equal(layer(x), layer(x))
    torch.testing.assert_close(layer.eval()(x), _twin(layer).eval()(x), atol=1e-5, rtol=1e-5)


def test_attention_starts_as_pytorch_does():
    layer = TransformerLayer(64, 8, 4, 'post')
    assert not layer.attention.qkv.bias.any() and not layer.attention.proj.bias.any()
    bound = (6 / (64 + 192)) ** 0.5                           # xavier
    assert 0.95 * bound < layer.attention.qkv.weight.abs().max() <= bound
