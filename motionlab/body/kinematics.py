"""Forward kinematics of joint trees, and the way from motion files to Human3.6M-17 joints.

A rotation sits in its own joint and turns everything below it. Matrices act on column vectors.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from motionlab.body.joint_chain import batch_first, batch_last, chain_transforms
from motionlab.body.rotations import rotvec_to_rotmat
from motionlab.body.skeletons import SMPLX_22
from motionlab.utils import DataError

# AMASS is Z-up: U maps our Y-up axes (x left, y up, z forward at rest) to it, (x, y, z) -> (x, -z, y).
Y_UP_TO_Z_UP = ((1., 0., 0.), (0., 0., -1.), (0., 1., 0.))


def local_to_global(local_rotmats: Tensor, parents: Sequence[int]) -> Tensor:
    """Global rotations of a joint tree, one product per tree level; differentiable once.

    Args:
        local_rotmats: (..., J, 3, 3) rotation of each joint in its parent's frame.
        parents: J parent indices, -1 for the root.

    Returns:
        (..., J, 3, 3) rotation of each joint in the world.
    """
    batch = local_rotmats.shape[:-3]
    # Half-precision products would bend the chain by degrees at its end.
    with torch.autocast(local_rotmats.device.type, enabled=False):
        rest = local_rotmats.new_zeros(len(parents), 3, 1)
        world = chain_transforms(batch_last(local_rotmats, batch, 3), rest, tuple(parents))  # (J, 3, 4, B)
        return batch_first(world[:, :, :3], batch)  # (..., J, 3, 3)


def global_to_local(global_rotmats: Tensor, parents: Sequence[int]) -> Tensor:
    """Inverse of :func:`local_to_global`; both sides are (..., J, 3, 3)."""
    with torch.autocast(global_rotmats.device.type, enabled=False):
        identity = torch.eye(3, dtype=global_rotmats.dtype, device=global_rotmats.device)
        identity = identity.expand(*global_rotmats.shape[:-3], 1, 3, 3)
        frames = torch.cat([global_rotmats, identity], dim=-3)  # (..., J + 1, 3, 3); index -1 is the world
        index = torch.tensor(parents, device=global_rotmats.device) % (len(parents) + 1)
        return frames.index_select(-3, index).mT @ global_rotmats  # (..., J, 3, 3)


def forward_kinematics(local_rotmats: Tensor, rest_joints: Tensor, trans: Tensor | None,
                       parents: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Joint positions and global rotations of a posed joint tree (as SMPL: the root turns about itself).

    Args:
        local_rotmats: (..., J, 3, 3) rotation of each joint in its parent's frame.
        rest_joints: (..., J, 3) joint positions of the unposed body, metres; leading axes broadcast.
        trans: (..., 3) added to every joint, metres; None for zero.
        parents: J parent indices, -1 for the root.

    Returns:
        joints (..., J, 3) in metres and global rotations (..., J, 3, 3), both with the batch axes of all inputs
        together and in the dtype of the inputs (fp32 or fp64); the batch is innermost in memory. Differentiable once.
    """
    num_joints = len(parents)
    if local_rotmats.shape[-3:] != (num_joints, 3, 3) or rest_joints.shape[-2:] != (num_joints, 3):
        raise ValueError(f'forward_kinematics: found rotations {tuple(local_rotmats.shape)} and rest joints '
                         f'{tuple(rest_joints.shape)} for {num_joints} joints')
    batches = [local_rotmats.shape[:-3], rest_joints.shape[:-2], *([] if trans is None else [trans.shape[:-1]])]
    batch = tuple(torch.broadcast_shapes(*batches))
    with torch.autocast(local_rotmats.device.type, enabled=False):
        world = chain_transforms(batch_last(local_rotmats, batch, 3), batch_last(rest_joints, batch, 2),
                                 tuple(parents))  # (J, 3, 4, B)
        world = batch_first(world.expand(-1, -1, -1, math.prod(batch)), batch)  # (..., J, 3, 4)
        joints = world[..., 3] if trans is None else world[..., 3] + trans.unsqueeze(-2)
        return joints, world[..., :3]


def smplx22_to_h36m17(joints22: Tensor, head_rotation: Tensor, regressor: Tensor, head_offset: Tensor) -> Tensor:
    """Human3.6M joints as weighted means of SMPL-X joints plus points fixed to the head.

    Args:
        joints22: (..., 22, 3) metres.
        head_rotation: (..., 3, 3) global rotation of the head joint.
        regressor: (17, 22) weights of the SMPL-X joints (``h36m_regressor`` of a motion file).
        head_offset: (17, 3) offset in the head's frame, metres (``h36m_head_offset`` of a motion file).

    Returns:
        (..., 17, 3) metres, order of :data:`~motionlab.body.skeletons.H36M_17`.
    """
    return regressor @ joints22 + head_offset @ head_rotation.mT  # (..., 17, 3)


def amass_motion_joints(motion: Mapping[str, np.ndarray], rest_joints: np.ndarray | Tensor | None = None,
                        ) -> tuple[Tensor, Tensor]:
    """Joints and rotations of an AMASS-style motion in our Y-up axes.

    Args:
        motion: ``poses`` (T, >= 66) axis-angle, ``trans`` (T, 3) metres; ``up_axis`` 'z' (AMASS, the default) or
            'y'; ``rest_joints`` (22, 3) unless given beside it.
        rest_joints: (22, 3) unposed joints in Y-up axes, metres, for files that carry none (from a body model).

    Returns:
        joints (T, 22, 3) metres and global rotations (T, 22, 3, 3), float32, x left, y up, z forward at rest.

    Raises:
        DataError: a key is missing or has a wrong shape, or the up axis is unknown.
    """
    rest = motion.get('rest_joints') if rest_joints is None else rest_joints
    if rest is None:
        raise DataError('motion', 'rest_joints', 'nothing', 'array (22, 3)',
                        'Pass rest_joints= from the body model for files without their own skeleton.')
    missing = [key for key in ('poses', 'trans') if key not in motion]
    if missing:
        raise DataError('motion', missing[0], 'nothing', 'an array')
    rest = torch.as_tensor(rest).float()
    poses, trans = torch.as_tensor(motion['poses']).float(), torch.as_tensor(motion['trans']).float()
    if poses.ndim != 2 or poses.shape[1] < 66 or trans.shape != (len(poses), 3) or rest.shape != (22, 3):
        raise DataError('motion', 'poses, trans, rest_joints',
                        f'shapes {tuple(poses.shape)}, {tuple(trans.shape)}, {tuple(rest.shape)}',
                        '(T, 66 or more), (T, 3), (22, 3)')
    up_axis = str(motion.get('up_axis', 'z'))
    if up_axis not in ('y', 'z'):
        raise DataError('motion', 'up_axis', repr(up_axis), "'y' or 'z'")
    local = rotvec_to_rotmat(poses[:, :66].unflatten(1, (22, 3)))  # (T, 22, 3, 3)
    joints, rotations = forward_kinematics(local, rest, trans, SMPLX_22.parents)
    if up_axis == 'z':
        to_y_up = torch.tensor(Y_UP_TO_Z_UP).mT
        joints, rotations = joints @ to_y_up.mT, to_y_up @ rotations
    return joints, rotations
