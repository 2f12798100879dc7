"""The joint chain against a joint-by-joint loop, its gradients, and the moves between batch orders."""

import pytest
import torch

from motionlab.body.joint_chain import batch_first, batch_last, chain_transforms, common_elements

PARENTS = (-1, 0, 0, 1, 2, 2, 4, 3)


def _inputs(local_batch, rest_batch):
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(8, 3, 3, local_batch, generator=generator, dtype=torch.float64),
            torch.randn(8, 3, rest_batch, generator=generator, dtype=torch.float64))


@pytest.mark.parametrize(('local_batch', 'rest_batch'), [(4, 4), (4, 1), (1, 4), (1, 1), (0, 1)])
def test_equals_a_loop_over_joints(local_batch, rest_batch):
    local, rest = _inputs(local_batch, rest_batch)
    found = chain_transforms(local, rest, PARENTS)
    batch = common_elements((local, rest))
    local, rest = local.expand(-1, -1, -1, batch), rest.expand(-1, -1, batch)
    assert found.shape == (8, 3, 4, batch)
    for element in range(batch):
        world = []
        for joint, parent in enumerate(PARENTS):
            step = torch.eye(4, dtype=torch.float64)
            step[:3, :3] = local[joint, :, :, element]
            step[:3, 3] = rest[joint, :, element] - (0 if parent < 0 else rest[parent, :, element])
            world.append(step if parent < 0 else world[parent] @ step)
        torch.testing.assert_close(found[..., element], torch.stack(world)[:, :3])


@pytest.mark.parametrize(('local_batch', 'rest_batch'), [(2, 2), (2, 1), (1, 2)])
def test_gradients_are_right(local_batch, rest_batch):
    leaves = [value.requires_grad_() for value in _inputs(local_batch, rest_batch)]
    assert torch.autograd.gradcheck(lambda *leaves: chain_transforms(*leaves, PARENTS), leaves)


def test_second_derivatives_are_refused():
    local, rest = _inputs(1, 1)
    local.requires_grad_()
    (first,) = torch.autograd.grad(chain_transforms(local, rest, PARENTS).square().sum(), local, create_graph=True)
    with pytest.raises(RuntimeError, match='once_differentiable'):
        first.sum().backward()


def test_batch_axes_go_and_come_back():
    values = torch.randn(2, 1, 5, 3)
    last = batch_last(values, (2, 4), 2)
    assert last.shape == (5, 3, 8)
    assert torch.equal(batch_first(last, (2, 4)), values.expand(2, 4, 5, 3))
    assert batch_last(values[:1], (2, 4), 2).shape == (5, 3, 1)
    assert batch_last(values[:0, :], (0, 4), 2).shape == (5, 3, 0)
    assert torch.equal(batch_first(batch_last(values[0, 0], (), 2), ()), values[0, 0])
