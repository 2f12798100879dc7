"""Canonical frames against recorded ones, there and back, and poses whose hips have no direction on the ground."""

import math

import pytest
import torch

from motionlab.body import rotvec_to_rotmat
from motionlab.body.canonical_frame import (
    CanonicalFrame,
    body_to_frame,
    body_to_world,
    canonical_frame,
    compose_frames,
    points_to_frame,
    points_to_world,
    vectors_to_frame,
    vectors_to_world,
)
from tests.motion_batches import recorded_tensors

SIDEWAYS = torch.tensor([0., 0., math.pi / 2])  # Lying on the right side: the left hip above the right one.


def joints_at(rotation=None):
    """(22, 3) joints of someone at the origin who faces +z, turned."""
    joints = torch.zeros(22, 3)
    joints[[1, 2, 9]] = torch.tensor([[.06, -.1, 0], [-.06, -.1, 0], [0, .3, 0]])
    return joints if rotation is None else joints @ rotvec_to_rotmat(rotation).mT


def random_frames(*batch):
    generator = torch.Generator().manual_seed(3)
    angle = torch.randn(*batch, 1, generator=generator, dtype=torch.float64) * torch.tensor([0., 1., 0.]).double()
    return CanonicalFrame(rotvec_to_rotmat(angle), torch.randn(*batch, 3, generator=generator, dtype=torch.float64))


def test_equals_recorded_frames(shared_dir):
    recorded = recorded_tensors(shared_dir, 'body_and_canonical')
    found = canonical_frame(recorded['joints22'])  # (4, 16)
    torch.testing.assert_close(found.rotation, recorded['frame_rotmat'], atol=1e-6, rtol=0)
    assert torch.equal(found.origin, recorded['frame_transl'].squeeze(-2))


def test_axes_are_left_up_forward():
    turn = torch.tensor([0., 0.7, 0.])
    found = canonical_frame(joints_at(turn) + torch.tensor([1., 2., 3.]))
    torch.testing.assert_close(found.rotation, rotvec_to_rotmat(turn))
    torch.testing.assert_close(found.origin, torch.tensor([1., 2., 3.]))


def test_points_and_vectors_return_at_any_number_of_axes():
    generator = torch.Generator().manual_seed(0)
    for batch, rest in (((), ()), ((4,), ()), ((4,), (5, 22)), ((2, 3), (7,))):
        frame = random_frames(*batch)
        values = torch.randn(*batch, *rest, 3, generator=generator, dtype=torch.float64)
        inside = points_to_frame(values, frame)
        torch.testing.assert_close(points_to_world(inside, frame), values)
        torch.testing.assert_close(vectors_to_world(vectors_to_frame(values, frame), frame), values)
        first = tuple(0 for _ in (*batch, *rest))
        rotation, origin = (value[tuple(0 for _ in batch)] for value in frame)
        torch.testing.assert_close(inside[first], rotation.mT @ (values[first] - origin))


def test_bodies_turn_about_their_pelvis():
    frame, generator = random_frames(2), torch.Generator().manual_seed(1)
    trans, rest = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((2, 5, 3), (2, 3)))
    root = rotvec_to_rotmat(torch.randn(2, 5, 3, generator=generator, dtype=torch.float64))
    root_in, trans_in = body_to_frame(root, trans, rest, frame)
    pelvis = points_to_frame(trans + rest[:, None], frame)
    torch.testing.assert_close(trans_in + rest[:, None], pelvis)
    torch.testing.assert_close(root_in, frame.rotation.mT[:, None] @ root)
    for back, given in zip(body_to_world(root_in, trans_in, rest, frame), (root, trans)):
        torch.testing.assert_close(back, given)


def test_frames_compose_and_do_not_drift():
    outer, inner = random_frames(2, 6)[:2], random_frames(2, 6)
    outer = CanonicalFrame(*outer)
    points = torch.randn(2, 6, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(points_to_world(points, compose_frames(outer, inner)),
                               points_to_world(points_to_world(points, inner), outer))
    frame = step = canonical_frame(joints_at(torch.tensor([0., 0.3, 0.])))
    for _ in range(2000):
        frame = compose_frames(frame, step)
    torch.testing.assert_close(frame.rotation @ frame.rotation.mT, torch.eye(3), atol=3e-7, rtol=0)


def test_a_previous_frame_decides_where_hips_do_not():
    previous = canonical_frame(joints_at(torch.tensor([0., 2., 0.])))
    joints = torch.stack([joints_at(SIDEWAYS), joints_at()])
    found = canonical_frame(joints, previous)
    torch.testing.assert_close(found.rotation[0], previous.rotation)
    torch.testing.assert_close(found.rotation[1], torch.eye(3))


def test_without_it_the_front_of_the_body_decides():
    turn = rotvec_to_rotmat(torch.tensor([0., 0.5, 0.]))
    found = canonical_frame(joints_at(SIDEWAYS) @ turn.mT)
    torch.testing.assert_close(found.rotation, turn)  # On its side it still looks along its own z.


@pytest.mark.parametrize('joints', [torch.zeros(22, 3), joints_at(SIDEWAYS), joints_at(),
                                    joints_at(SIDEWAYS + torch.tensor([0., 0., 5e-4])),
                                    joints_at(SIDEWAYS + torch.tensor([0., 0., 5e-3]))],
                         ids=['one point', 'sideways', 'upright', 'just not known', 'just known'])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_rotations_and_finite_gradients_everywhere(joints, dtype):
    joints = joints.to(dtype).clone().requires_grad_()
    rotation, origin = canonical_frame(joints)
    torch.testing.assert_close(rotation.mT @ rotation, torch.eye(3, dtype=dtype), atol=1e-6, rtol=0)
    assert torch.linalg.det(rotation) > 0 and rotation.dtype == dtype
    (rotation.sum() + origin.sum()).backward()
    assert joints.grad.isfinite().all()
