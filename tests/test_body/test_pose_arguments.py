"""Forms of pose arguments, and the one of them that could be taken for another."""

import pytest
import roma
import torch

from motionlab.body.pose_arguments import local_rotations, rotvec_to_rotmat_batch_last

LIKE = torch.zeros(1, dtype=torch.float64)


def _local(poses, others=None, family='smplx'):
    return local_rotations(family, poses, others or {}, LIKE, None)


@pytest.mark.parametrize(('name', 'first', 'count'), [('root_orient', 0, 1), ('pose_body', 1, 21), ('pose_jaw', 22, 1),
                                                      ('pose_eye', 23, 2), ('pose_hand', 25, 30)])
def test_every_form_turns_its_joints(name, first, count):
    vectors = torch.randn(2, 5, count, 3, dtype=torch.float64)
    expected = torch.eye(3, dtype=torch.float64).repeat(2, 5, 22 if first < 22 else 55, 1, 1)
    expected[:, :, first:first + count] = roma.rotvec_to_rotmat(vectors)
    matrices = expected[:, :, first:first + count]
    forms = [vectors.flatten(-2), matrices.squeeze(2)] if count == 1 else [vectors.flatten(-2), vectors, matrices]
    for form in forms:
        found, batch = _local({name: form}, {'transl': (2, 5)})
        assert batch == (2, 5)
        torch.testing.assert_close(found.movedim(-1, 0).unflatten(0, batch), expected)


@pytest.mark.parametrize(('shape', 'others', 'is_matrix'), [
    ((3, 3), {'transl': (3,)}, False), ((3, 3), {'transl': ()}, True), ((3, 3, 3), {'betas': (3, 3)}, False),
    ((3, 3, 3), {'betas': (3,)}, True), ((1, 3, 3), {}, True), ((3, 3), {'betas': (1,)}, False)])
def test_three_by_three_follows_the_batch_axes_of_the_rest(shape, others, is_matrix):
    turns = torch.randn(shape, dtype=torch.float64)
    turns = roma.special_procrustes(turns) if is_matrix else turns
    found, batch = _local({'root_orient': turns}, others)
    expected = turns if is_matrix else roma.rotvec_to_rotmat(turns)
    found = found[0].movedim(-1, 0)
    torch.testing.assert_close(found, expected.reshape(-1, 3, 3).expand_as(found))
    assert batch == torch.broadcast_shapes(expected.shape[:-2], *others.values())


def test_alone_it_is_refused():
    with pytest.raises(ValueError, match=r'write \(1, 3, 3\) for the matrix'):
        _local({'root_orient': torch.zeros(3, 3)})
    with pytest.raises(ValueError, match='pose_jaw'):
        _local({'pose_jaw': torch.zeros(3, 3), 'root_orient': torch.zeros(3, 3)})


def test_conversion_equals_roma_with_gradients():
    vectors = torch.randn(40, 3, dtype=torch.float64)
    vectors = torch.cat([vectors, 1e-4 * vectors, 1e-9 * vectors, 3 * vectors, torch.zeros(1, 3, dtype=torch.float64)])
    for dtype, tolerance in ((torch.float64, 1e-14), (torch.float32, 1e-6)):
        found = rotvec_to_rotmat_batch_last(vectors.to(dtype).mT[None])[0].movedim(-1, 0)
        torch.testing.assert_close(found.double(), roma.rotvec_to_rotmat(vectors), atol=tolerance, rtol=0)
    leaf = torch.cat([vectors[:5], vectors[-1:]]).mT[None].clone().requires_grad_()
    assert torch.autograd.gradcheck(rotvec_to_rotmat_batch_last, leaf)
    for size in (0.0, 1e-30, 1e-16, 1e-8, 1e-3, torch.pi, 2 * torch.pi):
        leaf = torch.full((1, 3, 1), size / 3**.5, requires_grad=True)
        turns = rotvec_to_rotmat_batch_last(leaf)
        (grad,) = torch.autograd.grad(turns, leaf, torch.arange(9.).view(turns.shape))
        assert grad.isfinite().all() and grad.abs().max() < 30
