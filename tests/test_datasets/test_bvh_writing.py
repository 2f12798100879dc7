import numpy as np
import pytest
import torch

from motionlab.body.kinematics import forward_kinematics
from motionlab.body.rotations import euler_to_rotmat, rotmat_to_euler, rotvec_to_rotmat
from motionlab.body.skeletons import SMPLX_22
from motionlab.datasets.mocap.bvh import bvh_to_clip, parse_bvh
from motionlab.datasets.mocap.bvh_writing import bvh_text
from motionlab.utils import DataError


def _motion(frames: int = 20, amount: float = 0.6) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    rotmats = rotvec_to_rotmat(amount * torch.randn(frames, 22, 3, generator=generator, dtype=torch.float64))
    rest = torch.randn(22, 3, generator=generator, dtype=torch.float64).cumsum(dim=0) * 0.1
    return rotmats, torch.randn(frames, 3, generator=generator, dtype=torch.float64), rest


def test_what_is_written_is_read_back():
    rotmats, position, rest = _motion(amount=2.0)
    text = bvh_text(rotmats, position, rest, 30.0)
    clip = bvh_to_clip(parse_bvh(text, 'written.bvh'), metres_per_unit=0.01)
    assert set(clip.joint_names) == set(SMPLX_22.joint_names) and clip.fps == 30 and len(clip) == 20
    expected, _ = forward_kinematics(rotmats, rest, position - rest[0], SMPLX_22.parents)
    order = [clip.joint_names.index(name) for name in SMPLX_22.joint_names]
    assert [clip.joint_names[clip.parents[j]] for j in order[1:]] == [
        SMPLX_22.joint_names[parent] for parent in SMPLX_22.parents[1:]]
    torch.testing.assert_close(clip.global_pose()[0][:, order], expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(clip.rotations[:, order], rotmats, atol=1e-7, rtol=0)
    assert text.count('End Site') == 5  # Head, hands and feet.


def test_angles_do_not_jump():
    turns = torch.linspace(0, 25, 100, dtype=torch.float64)[:, None, None] * torch.tensor([0, 1.0, 0])
    rotmats = rotvec_to_rotmat(turns.expand(100, 22, 3))
    bvh = parse_bvh(bvh_text(rotmats, torch.zeros(100, 3), _motion()[2], 30.0), 'turning.bvh')
    assert np.abs(np.diff(bvh.values, axis=0)).max() < 30


def test_poles_of_the_angles():
    middle = [sign * torch.pi / 2 + off for sign in (-1, 1) for off in (0, 1e-9, 1e-5)]
    angles = torch.tensor([[0.3, each, 0.7] for each in middle], dtype=torch.float64)
    rotmats = euler_to_rotmat(angles, 'ZXY')
    torch.testing.assert_close(euler_to_rotmat(rotmat_to_euler(rotmats, 'ZXY'), 'ZXY'), rotmats, atol=1e-7, rtol=0)


@pytest.mark.parametrize('change', ['empty', 'joints', 'nan', 'fps'])
def test_bad_motions_are_refused(change):
    rotmats, position, rest = _motion(3)
    fps = 30.0
    if change == 'empty':
        rotmats, position = rotmats[:0], position[:0]
    elif change == 'joints':
        rest = rest[:21]
    elif change == 'nan':
        position[1, 2] = torch.nan
    else:
        fps = 0.0
    with pytest.raises(DataError, match='BVH'):
        bvh_text(rotmats, position, rest, fps)
