"""Rotation helpers on top of roma. Matrices are active and act on column vectors; angles are radians.

roma is imported at the first call: it brings torch's compiler along, more than a second at every start.
"""

import torch
from torch import Tensor

_SHORTEST = 1e-12  # Length below which a vector of a 6D rotation is not stretched to 1.

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


def rotmat_to_euler(rotmat: Tensor, order: str) -> Tensor:
    """Angles (..., 3) of (..., 3, 3) matrices, radians, for :func:`euler_to_rotmat`.

    Where the middle angle is at its pole the third one is 0; the matrix they give is right there too.

    Args:
        order: Three letters out of ``XYZ``, neighbours differing.
    """
    import roma
    return roma.rotmat_to_euler(order, rotmat)


def rotvec_to_rotmat(rotvec: Tensor) -> Tensor:
    """Axis-angle (..., 3), radians, to matrices (..., 3, 3); value and gradient are right at zero too."""
    import roma
    return roma.rotvec_to_rotmat(rotvec)


def rotmat_to_rotvec(rotmat: Tensor) -> Tensor:
    """Matrices (..., 3, 3) to axis-angle (..., 3) of at most pi.

    Through quaternions (Markley 2008): value and gradient are finite and accurate near 0 and near pi. At pi itself
    either sign of the axis is right; compare matrices there.
    """
    import roma
    return roma.rotmat_to_rotvec(rotmat)


def rot6d_columns_to_rotmat(rot6d: Tensor) -> Tensor:
    """Six numbers, read as the first two *columns* of a matrix, to the rotation next to them (VPoser's convention).

    The numbers are a 3 x 2 matrix row by row, so the columns are interleaved: a1 = x[0, 2, 4], a2 = x[1, 3, 5]. They
    are made orthonormal by Gram and Schmidt's process, lengths below 1e-12 counting as 1e-12; the third column is
    their cross product. (Zhou et al., On the Continuity of Rotation Representations in Neural Networks, 2019;
    Pavlakos et al., Expressive Body Capture, 2019.)

    Args:
        rot6d: (..., 6)

    Returns:
        (..., 3, 3); a rotation unless a1 is zero or a2 parallel to it.
    """
    import roma
    return roma.special_gramschmidt(rot6d.unflatten(-1, (3, 2)), epsilon=_SHORTEST)


def rotmat_to_rot6d_columns(rotmat: Tensor) -> Tensor:
    """First two columns of (..., 3, 3) matrices, interleaved: (..., 6), for :func:`rot6d_columns_to_rotmat`."""
    return rotmat[..., :2].flatten(-2)


def rot6d_rows_to_rotmat(rot6d: Tensor) -> Tensor:
    """Six numbers, read as the first two *rows* of a matrix, to the rotation next to them (PRIMAL's convention).

    The numbers are R00 R01 R02 R10 R11 R12; otherwise as :func:`rot6d_columns_to_rotmat`.

    Args:
        rot6d: (..., 6)

    Returns:
        (..., 3, 3)
    """
    import roma
    return roma.special_gramschmidt(rot6d.unflatten(-1, (2, 3)).mT, epsilon=_SHORTEST).mT


def rotmat_to_rot6d_rows(rotmat: Tensor) -> Tensor:
    """First two rows of (..., 3, 3) matrices, one after the other: (..., 6), for :func:`rot6d_rows_to_rotmat`."""
    return rotmat[..., :2, :].flatten(-2)


def geodesic_angle(first: Tensor, second: Tensor) -> Tensor:
    """Angle of the rotation between two rotations, radians in [0, pi].

    The value of arccos((trace(A B^T) - 1) / 2), which loses half of the digits near 0 and pi and has no finite
    gradient there. Here sine and cosine are both computed, the sine from B - A, so equal matrices are exactly 0
    apart. The gradient is bounded, and 0 at equality and at pi, where every direction is as good as its opposite.

    Args:
        first: (..., 3, 3) rotations.
        second: (..., 3, 3) rotations; leading axes broadcast.

    Returns:
        (...)
    """
    first, second = torch.broadcast_tensors(first, second)
    # Half the sum over columns of a x b is the sine times the axis; a x b = a x (b - a) spares the small difference.
    sine = torch.linalg.cross(first, second - first, dim=-2).sum(-1).norm(dim=-1) / 2  # (...)
    cosine = ((first * second).sum((-2, -1)) - 1) / 2  # (...)
    return torch.atan2(sine, cosine)


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
