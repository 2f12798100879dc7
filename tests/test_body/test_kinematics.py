"""Forward kinematics against a joint-by-joint loop, its gradients, and the motion-file conveniences."""

import numpy as np
import pytest
import roma
import torch

from motionlab.body import (
    SMPLX_22,
    amass_motion_joints,
    forward_kinematics,
    global_to_local,
    local_to_global,
    smplx22_to_h36m17,
)
from motionlab.utils import DataError

PARENTS = SMPLX_22.parents


def _pose(*batch, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    rotvec = torch.randn(*batch, 22, 3, generator=generator, dtype=dtype)
    return roma.rotvec_to_rotmat(rotvec), torch.randn(22, 3, generator=generator, dtype=dtype)


def test_matches_the_definition_joint_by_joint():
    local, rest = _pose(5)
    trans = torch.randn(5, 3, dtype=torch.float64)
    joints, rotations = forward_kinematics(local, rest, trans, PARENTS)
    for frame in range(5):
        done = {}
        for j, p in enumerate(PARENTS):
            if p < 0:
                done[j] = local[frame, j], rest[j] + trans[frame]
            else:
                done[j] = done[p][0] @ local[frame, j], done[p][1] + done[p][0] @ (rest[j] - rest[p])
        torch.testing.assert_close(rotations[frame], torch.stack([done[j][0] for j in range(22)]))
        torch.testing.assert_close(joints[frame], torch.stack([done[j][1] for j in range(22)]))


def test_batches_broadcast_and_float32_stays_close():
    local, rest = _pose(2, 3)
    bodies = rest + 0.1 * torch.randn(3, 22, 3, dtype=torch.float64)
    joints, _ = forward_kinematics(local, bodies, None, PARENTS)
    assert joints.shape == (2, 3, 22, 3)
    one, _ = forward_kinematics(local[1, 2], bodies[2], None, PARENTS)
    torch.testing.assert_close(joints[1, 2], one)
    single, rotations = forward_kinematics(local.float(), bodies.float(), None, PARENTS)
    assert single.dtype == rotations.dtype == torch.float32
    torch.testing.assert_close(single.double(), joints, atol=2e-5, rtol=1e-5)
    with torch.autocast('cpu', torch.bfloat16):
        under_autocast, _ = forward_kinematics(local.float(), bodies.float(), None, PARENTS)
    assert torch.equal(under_autocast, single)


def test_gradients_are_right():
    rotvec = torch.randn(2, 22, 3, dtype=torch.float64, requires_grad=True)
    rest = torch.randn(22, 3, dtype=torch.float64, requires_grad=True)
    trans = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)

    def joints(rotvec, rest, trans):
        return forward_kinematics(roma.rotvec_to_rotmat(rotvec), rest, trans, PARENTS)[0]

    assert torch.autograd.gradcheck(joints, (rotvec, rest, trans), fast_mode=True)


def test_local_and_global_are_inverse():
    local, _ = _pose(4)
    torch.testing.assert_close(global_to_local(local_to_global(local, PARENTS), PARENTS), local)


def test_wrong_joint_count_names_the_shapes():
    local, rest = _pose(4)
    with pytest.raises(ValueError, match=r'\(21, 3\) for 22 joints'):
        forward_kinematics(local, rest[1:], None, PARENTS)


def test_h36m_points_turn_with_the_head():
    regressor, offset = torch.zeros(17, 22), torch.zeros(17, 3)
    regressor[:, 15] = 1
    offset[10, 1] = 0.13
    turn = roma.rotvec_to_rotmat(torch.tensor([0., 0., torch.pi / 2]))
    joints = smplx22_to_h36m17(torch.ones(2, 22, 3), turn.expand(2, 3, 3), regressor, offset)
    torch.testing.assert_close(joints[:, 10], torch.tensor([[0.87, 1., 1.]] * 2))
    torch.testing.assert_close(joints[:, 9], torch.ones(2, 3))


def _motion(**changes):
    poses = np.zeros((2, 165), np.float32)
    poses[:, 0] = np.pi / 2  # U itself: a standing figure in a Z-up world.
    motion = {'poses': poses, 'trans': np.array([[1, -3, 2]] * 2, np.float32),
              'rest_joints': np.arange(66, dtype=np.float32).reshape(22, 3) - np.array([0, 1, 2], np.float32)}
    return {**motion, **changes}


def test_z_up_is_undone():
    joints, rotations = amass_motion_joints(_motion())
    rest = torch.as_tensor(_motion()['rest_joints'])
    # Standing unposed at (x, y, z) = (1, 2, 3) of the Y-up world.
    torch.testing.assert_close(joints[0], rest + torch.tensor([1., 2., 3.]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(rotations[0], torch.eye(3).expand(22, 3, 3), atol=1e-6, rtol=0)
    already, _ = amass_motion_joints(_motion(up_axis=np.array('y'), poses=np.zeros((2, 165), np.float32)))
    torch.testing.assert_close(already[0], rest + torch.tensor([1., -3., 2.]))


@pytest.mark.parametrize(('changes', 'field'), [
    ({'rest_joints': None}, 'rest_joints'), ({'poses': np.zeros((2, 60))}, 'poses'),
    ({'trans': np.zeros((3, 3))}, 'trans'), ({'up_axis': 'x'}, 'up_axis')])
def test_malformed_motion_is_named(changes, field):
    with pytest.raises(DataError, match=field):
        amass_motion_joints(_motion(**changes))
