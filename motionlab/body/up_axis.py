"""Motions between Z-up worlds (AMASS) and Y-up ones (the body's own axes: x left, y up, z forward at rest)."""

import torch
from torch import Tensor

from motionlab.body.kinematics import Y_UP_TO_Z_UP
from motionlab.body.rotations import rotmat_to_rotvec, rotvec_to_rotmat


def rotate_motion(root_orient: Tensor, trans: Tensor, rest_pelvis: Tensor, rotation: Tensor) -> tuple[Tensor, Tensor]:
    """Turn a moving body about the world's origin.

    The root turns about the pelvis, which is not at the body's origin: pelvis = trans + rest_pelvis. So the whole
    motion turns with R root and R (trans + rest_pelvis) - rest_pelvis. Poses of the other joints stay as they are.

    Args:
        root_orient: (..., 3) axis-angle, or (..., 3, 3) matrices where ``trans`` has one axis less.
        trans: (..., 3) metres.
        rest_pelvis: (..., 3) pelvis of the unposed body *of this shape*, metres; leading axes broadcast.
        rotation: (..., 3, 3), or (3, 3) for all frames.

    Returns:
        Turned ``root_orient`` and ``trans``, shapes and dtype as given; axis-angle of at most pi.
    """
    if trans.shape[-1] != 3 or root_orient.shape not in (trans.shape, (*trans.shape, 3)):
        raise ValueError(f'rotate_motion: found root_orient {tuple(root_orient.shape)} and trans {tuple(trans.shape)}, '
                         f'expected (..., 3) or (..., 3, 3), and (..., 3)')
    as_matrix = root_orient.ndim > trans.ndim
    turned = rotation @ (root_orient if as_matrix else rotvec_to_rotmat(root_orient))  # (..., 3, 3)
    pelvis = (rotation @ (trans + rest_pelvis).unsqueeze(-1)).squeeze(-1)  # (..., 3)
    return turned if as_matrix else rotmat_to_rotvec(turned), pelvis - rest_pelvis


def z_up_to_y_up(root_orient: Tensor, trans: Tensor, rest_pelvis: Tensor) -> tuple[Tensor, Tensor]:
    """:func:`rotate_motion` by (x, y, z) -> (x, z, -y): what stood along z stands along y."""
    return rotate_motion(root_orient, trans, rest_pelvis, _z_up_axes(trans).mT)


def y_up_to_z_up(root_orient: Tensor, trans: Tensor, rest_pelvis: Tensor) -> tuple[Tensor, Tensor]:
    """:func:`rotate_motion` by (x, y, z) -> (x, -z, y), the inverse of :func:`z_up_to_y_up`."""
    return rotate_motion(root_orient, trans, rest_pelvis, _z_up_axes(trans))


def points_to_y_up(points: Tensor) -> Tensor:
    """Points or directions (..., 3) of a Z-up world in Y-up axes: (x, z, -y)."""
    return points @ _z_up_axes(points)  # (..., 3)


def _z_up_axes(like: Tensor) -> Tensor:
    return torch.tensor(Y_UP_TO_Z_UP, dtype=like.dtype, device=like.device)
