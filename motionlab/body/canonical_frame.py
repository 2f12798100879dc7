"""Body-centred frames: origin at the pelvis, y up, z where the hips face; into them and back to the world.

Source: Zhang et al., PRIMAL, ICCV 2025 (arXiv 2503.17544). Y-up worlds, metres.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from motionlab.body.up_axis import rotate_motion

PELVIS, LEFT_HIP, RIGHT_HIP, SPINE3 = 0, 1, 2, 9
_SHORTEST = 1e-9  # Metres.
_UPRIGHT = 1e-3  # Sine of the angle to the vertical below which an axis has no direction on the ground.


class CanonicalFrame(NamedTuple):
    """``rotation`` (..., 3, 3), whose columns are the axes left, up and forward, and ``origin`` (..., 3), metres.

    What lies at p in the frame lies at ``rotation @ p + origin`` in the world.
    """

    rotation: Tensor
    origin: Tensor


def canonical_frame(joints: Tensor, previous: CanonicalFrame | None = None) -> CanonicalFrame:
    """The frame of each pose: from right to left hip along the ground is x, up is y, forward is z = x cross y.

    The origin is the pelvis, not projected to the ground. Where one hip is above the other (lying on the side) the
    hips have no direction on the ground: then x is that of ``previous``, or without it such that z is the way the
    front of the body faces (hip axis cross spine); where that has no direction either, the world's x. Values and
    gradients are finite everywhere.

    Args:
        joints: (..., J, 3) of the SMPL family, J at least 10, metres.
        previous: Frames (...) of an earlier moment.

    Returns:
        Frames (...).
    """
    hips = joints[..., LEFT_HIP, :] - joints[..., RIGHT_HIP, :]                            # (..., 3)
    axis, known = _along_ground(hips)
    if previous is not None:
        spare = previous.rotation[..., 0].expand_as(hips)                                  # (..., 3)
    else:
        front, faces = _along_ground(torch.linalg.cross(hips, joints[..., SPINE3, :] - joints[..., PELVIS, :], dim=-1))
        zero = torch.zeros_like(front[..., 0])
        spare = torch.stack([front[..., 2], zero, -front[..., 0]], dim=-1)                 # y cross z
        spare = torch.where(faces, spare, torch.stack([zero + 1, zero, zero], dim=-1))
    x = torch.where(known, axis, spare)                                                    # (..., 3)
    return CanonicalFrame(_upright(x), joints[..., PELVIS, :])


def compose_frames(outer: CanonicalFrame, inner: CanonicalFrame) -> CanonicalFrame:
    """World frames (...) of frames ``inner`` (...) that are themselves given in ``outer`` (...)."""
    x = F.normalize(vectors_to_world(inner.rotation[..., 0], outer), dim=-1)               # No drift over many windows.
    return CanonicalFrame(_upright(x), points_to_world(inner.origin, outer))


def vectors_to_frame(vectors: Tensor, frame: CanonicalFrame) -> Tensor:
    """Directions, velocities, accelerations: world (b, ..., 3) -> frames (b); b may be several axes."""
    return _turn(vectors, frame.rotation.mT)


def vectors_to_world(vectors: Tensor, frame: CanonicalFrame) -> Tensor:
    """Inverse of :func:`vectors_to_frame`."""
    return _turn(vectors, frame.rotation)


def points_to_frame(points: Tensor, frame: CanonicalFrame) -> Tensor:
    """Positions: world (b, ..., 3) -> frames (b), metres; b may be several axes."""
    return _turn(points - _aligned(frame.origin, points, 1), frame.rotation.mT)


def points_to_world(points: Tensor, frame: CanonicalFrame) -> Tensor:
    """Inverse of :func:`points_to_frame`."""
    return _turn(points, frame.rotation) + _aligned(frame.origin, points, 1)


def body_to_frame(root: Tensor, trans: Tensor, rest_pelvis: Tensor, frame: CanonicalFrame) -> tuple[Tensor, Tensor]:
    """Bodies in the world -> in frames (b).

    The root turns about the pelvis, which is at trans + rest_pelvis.

    Args:
        root: (b, ..., 3, 3) root rotations.
        trans: (b, ..., 3) metres.
        rest_pelvis: (b, 3) pelvis of the unposed bodies of these shapes, metres.
        frame: Frames (b); b may be several axes.

    Returns:
        ``root`` and ``trans`` in the frames, shapes as given.
    """
    return rotate_motion(root, trans - _aligned(frame.origin, trans, 1), _aligned(rest_pelvis, trans, 1),
                         _aligned(frame.rotation.mT, trans, 2))


def body_to_world(root: Tensor, trans: Tensor, rest_pelvis: Tensor, frame: CanonicalFrame) -> tuple[Tensor, Tensor]:
    """Inverse of :func:`body_to_frame`."""
    root, trans = rotate_motion(root, trans, _aligned(rest_pelvis, trans, 1), _aligned(frame.rotation, trans, 2))
    return root, trans + _aligned(frame.origin, trans, 1)


def _along_ground(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors (..., 3) along the ground under (..., 3), and whether (..., 1) there is such a direction."""
    x, y, z = vectors.split(1, dim=-1)                                                     # (..., 1) each
    flat = torch.cat([x, torch.zeros_like(y), z], dim=-1)                                  # (..., 3)
    square = x * x + z * z
    known = (square > _UPRIGHT ** 2 * (square + y * y)) & (square > _SHORTEST ** 2)
    return flat / torch.where(known, square, 1).sqrt(), known


def _upright(x: Tensor) -> Tensor:
    """(..., 3, 3) with columns x (..., 3) along the ground, up, and x cross up."""
    zero = torch.zeros_like(x[..., 0])
    up = torch.stack([zero, torch.ones_like(zero), zero], dim=-1)
    z = torch.stack([-x[..., 2], zero, x[..., 0]], dim=-1)
    return torch.stack([x, up, z], dim=-1)                                                 # (..., 3, 3)


def _aligned(values: Tensor, like: Tensor, value_axes: int) -> Tensor:
    """(b, *value) with axes of 1 behind b until it broadcasts against ``like`` (b, ..., 3)."""
    batch = values.ndim - value_axes
    return values.reshape(*values.shape[:batch], *[1] * (like.ndim - 1 - batch), *values.shape[batch:])


def _turn(vectors: Tensor, rotation: Tensor) -> Tensor:
    """(b, 3, 3) applied to (b, ..., 3)."""
    batch = rotation.ndim - 2
    rows = vectors.reshape(*vectors.shape[:batch], -1, 3)                                  # (b, N, 3)
    return (rows @ rotation.mT).reshape(vectors.shape)
