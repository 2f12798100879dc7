"""Skinning in blocks against the formula in one line; its gradients; its memory of what it needs."""

import pytest
import torch

from motionlab.body import blend_skinning
from motionlab.body.blend_skinning import skin

V, P, K, B = 37, 9, 4, 3


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(blend_skinning, '_BLOCK_NUMBERS', 16 * 12 * B)  # 16 + 16 + 5 vertices


def _inputs(base_batch=1, pose_batch=B, batch=B):
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return draw(V, 3, base_batch), draw(V, 3, P), draw(P, pose_batch), draw(V, K), draw(K, 3, 4, batch)


def _by_definition(base, posedirs, features, weights, transforms):
    posed = base + torch.einsum('vip,pb->vib', posedirs, features)
    per_vertex = torch.einsum('vk,kijb->vijb', weights, transforms)
    return torch.einsum('vijb,vjb->vib', per_vertex[:, :, :3], posed.expand(-1, -1, B)) + per_vertex[:, :, 3]


@pytest.mark.parametrize('base_batch', [1, B])
@pytest.mark.parametrize('pose_batch', [1, B])
def test_values_and_gradients(base_batch, pose_batch):
    base, posedirs, features, weights, transforms = _inputs(base_batch, pose_batch)
    leaves = [value.requires_grad_() for value in (base, features, transforms)]
    found = skin(base, posedirs, features, weights, transforms)
    expected = _by_definition(base, posedirs, features, weights, transforms)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)
    pull = torch.randn(B, V, 3, dtype=torch.float64).permute(1, 2, 0)  # Another memory order than the answer's.
    for ours, theirs in zip(torch.autograd.grad(found, leaves, pull), torch.autograd.grad(expected, leaves, pull)):
        torch.testing.assert_close(ours, theirs, atol=1e-11, rtol=0)


@pytest.mark.parametrize('wanted', [(0,), (1,), (2,), (0, 2), (1, 2)])
def test_gradients_of_some(wanted):
    inputs = list(_inputs())
    positions = [(0, 2, 4)[index] for index in wanted]
    leaves = [inputs[position].requires_grad_() for position in positions]
    assert torch.autograd.gradcheck(lambda *_: skin(*inputs), leaves, fast_mode=True)


def test_one_block_and_many_agree_in_float32(monkeypatch):
    inputs = [value.float() for value in _inputs()]
    many = skin(*inputs)
    monkeypatch.setattr(blend_skinning, '_BLOCK_NUMBERS', 10**9)
    torch.testing.assert_close(skin(*inputs), many, atol=1e-5, rtol=1e-6)


def test_no_per_vertex_transform_is_kept():
    inputs = list(_inputs())
    inputs[4].requires_grad_()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.numel()) or tensor, lambda t: t):
        skin(*inputs)
    assert max(kept) < V * 12 * B


def test_second_derivatives_and_functional_transforms_are_refused():
    base, posedirs, features, weights, transforms = _inputs()
    features.requires_grad_()
    answer = skin(base, posedirs, features, weights, transforms)
    (first,) = torch.autograd.grad(answer.square().sum(), features, create_graph=True)
    with pytest.raises(RuntimeError, match='once_differentiable'):
        first.sum().backward()
    with pytest.raises(RuntimeError, match='setup_context'):
        torch.func.grad(lambda features: skin(base, posedirs, features, weights, transforms).sum())(features.detach())
