"""Rotation helpers on top of roma. Matrices are active and act on column vectors; angles are radians.

roma is imported at the first call: it brings torch's compiler along, more than a second at every start.
"""

import torch
from torch import Tensor


def euler_to_rotmat(angles: Tensor, order: str) -> Tensor:
    """Product of elementary rotations in the order they are listed: ``'ZXY'`` gives ``Rz @ Rx @ Ry``.

    Args:
        angles: (..., D) radians, one per letter of ``order``; D may be 0 to 3.
        order: D letters out of ``XYZ`` (intrinsic order, the order in which BVH lists its channels).

    Returns:
        (..., 3, 3), same dtype and device.
    """
    import roma
    if angles.shape[-1] != len(order):
        raise ValueError(f'euler_to_rotmat: found {angles.shape[-1]} angles for order {order!r}')
    if not order:
        return torch.eye(3, dtype=angles.dtype, device=angles.device).expand(*angles.shape[:-1], 3, 3)
    return roma.unitquat_to_rotmat(roma.euler_to_unitquat(order, list(angles.unbind(-1))))  # (..., 3, 3)


def rotvec_to_rotmat(rotvec: Tensor) -> Tensor:
    """Axis-angle (..., 3), radians, to matrices (..., 3, 3)."""
    import roma
    return roma.rotvec_to_rotmat(rotvec)


def rotmat_to_rotvec(rotmat: Tensor) -> Tensor:
    """Matrices (..., 3, 3) to axis-angle (..., 3) of at most pi, through quaternions: exact near 0 and near pi."""
    import roma
    return roma.rotmat_to_rotvec(rotmat)


def geodesic_midpoint(first: Tensor, second: Tensor) -> Tensor:
    """Rotation half-way along the shortest arc between two (..., 3, 3) rotations."""
    half = 0.5 * rotmat_to_rotvec(first.mT @ second)  # (..., 3)
    return first @ rotvec_to_rotmat(half)  # (..., 3, 3)


def interpolate_rotations(rotmats: Tensor, times: Tensor) -> Tensor:
    """Spherical linear interpolation of a rotation sequence (Shoemake 1985).

    Args:
        rotmats: (T, ..., 3, 3) rotations at times 0, 1, ..., T-1.
        times: (N,) times in [0, T-1].

    Returns:
        (N, ..., 3, 3)
    """
    first = times.floor().long().clamp(0, len(rotmats) - 1)  # (N,)
    second = (first + 1).clamp(max=len(rotmats) - 1)
    step = (times - first).to(rotmats.dtype)
    step = step.view(-1, *[1] * (rotmats.ndim - 2))  # (N, ..., 1)
    arc = rotmat_to_rotvec(rotmats[first].mT @ rotmats[second])  # (N, ..., 3)
    return rotmats[first] @ rotvec_to_rotmat(step * arc)  # (N, ..., 3, 3)
