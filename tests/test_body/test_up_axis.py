"""Turning a motion is turning all of its joints about the origin, whatever the pelvis offset."""

import numpy as np
import pytest
import torch

from motionlab.body.kinematics import amass_motion_joints, forward_kinematics
from motionlab.body.rotations import rotvec_to_rotmat
from motionlab.body.skeletons import SMPLX_22
from motionlab.body.up_axis import points_to_y_up, rotate_motion, y_up_to_z_up, z_up_to_y_up


def _motion(frames: int = 5):
    generator = torch.Generator().manual_seed(0)
    pose = torch.randn(frames, 22, 3, generator=generator, dtype=torch.float64)
    trans = torch.randn(frames, 3, generator=generator, dtype=torch.float64)
    rest = torch.randn(22, 3, generator=generator, dtype=torch.float64)
    return pose, trans, rest


def _joints(pose, trans, rest):
    return forward_kinematics(rotvec_to_rotmat(pose), rest, trans, SMPLX_22.parents)[0]


@pytest.mark.parametrize('as_matrix', [False, True])
def test_joints_turn_with_the_world(as_matrix):
    pose, trans, rest = _motion()
    root = rotvec_to_rotmat(pose[:, 0]) if as_matrix else pose[:, 0]
    new_root, new_trans = z_up_to_y_up(root, trans, rest[0])
    local = rotvec_to_rotmat(pose)
    local[:, 0] = new_root if as_matrix else rotvec_to_rotmat(new_root)
    turned = forward_kinematics(local, rest, new_trans, SMPLX_22.parents)[0]
    before = _joints(pose, trans, rest)
    torch.testing.assert_close(turned, torch.stack([before[..., 0], before[..., 2], -before[..., 1]], -1))
    torch.testing.assert_close(turned, points_to_y_up(before))
    recorded = {'poses': pose.flatten(1).numpy(), 'trans': trans.numpy(), 'up_axis': np.array('z')}
    torch.testing.assert_close(amass_motion_joints(recorded, rest)[0].double(), turned, atol=1e-5, rtol=0)
    back_root, back_trans = y_up_to_z_up(new_root, new_trans, rest[0])
    torch.testing.assert_close(back_trans, trans)
    as_rotmat = back_root if as_matrix else rotvec_to_rotmat(back_root)
    torch.testing.assert_close(as_rotmat, rotvec_to_rotmat(pose[:, 0]))


def test_pelvis_offset_of_every_frame_and_single_precision():
    pose, trans, rest = _motion()
    turns = rotvec_to_rotmat(pose[:, 1])
    root, moved = rotate_motion(pose[:, 0].float(), trans.float(), rest[:5].float(), turns.float())
    assert root.dtype == moved.dtype == torch.float32
    expected = (turns @ (trans + rest[:5])[..., None])[..., 0] - rest[:5]
    torch.testing.assert_close(moved.double(), expected, atol=1e-5, rtol=0)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r'root_orient \(5, 4\) and trans \(5, 3\)'):
        z_up_to_y_up(torch.zeros(5, 4), torch.zeros(5, 3), torch.zeros(3))
