"""A posed joint tree and what skinning needs of it."""

from typing import NamedTuple

import torch
from torch import Tensor

from motionlab.body.pose_arguments import batch_last

NUM_BODY = 22  # Root and the 21 body joints, which every family has in the same places.


class PosedTree(NamedTuple):
    """A posed joint tree; K is J, or 22 where only root and body joints are turned.

    ``batch`` is the shape of all arguments together; ``coefficients`` (..., n) are those of the first n blend shapes,
    or None; ``rest`` (..., J, 3) and ``joints`` (..., K, 3) are metres before and after posing; ``local`` and
    ``rotations`` (..., K, 3, 3) are in the parent's frame and in the world; ``transl`` (..., 3) is still to be added,
    or None.
    """

    batch: tuple[int, ...]
    coefficients: Tensor | None
    rest: Tensor
    joints: Tensor
    local: Tensor
    rotations: Tensor
    transl: Tensor | None


def pose_features(local: Tensor, batch: tuple[int, ...]) -> Tensor:
    """(9 (K - 1), 1 or B) elements of R - I of all joints but the root, from rotations (..., K, 3, 3)."""
    offsets = local[..., 1:, :, :] - torch.eye(3, dtype=local.dtype, device=local.device)
    return batch_last(offsets.flatten(-3), batch)


def rest_to_posed(rest: Tensor, joints: Tensor, rotations: Tensor) -> Tensor:
    """(..., K, 3, 4) transforms that take a point of the resting body along with each joint."""
    shift = joints - (rotations @ rest[..., None])[..., 0]  # (..., K, 3)
    return torch.cat([rotations.expand(*shift.shape, 3), shift[..., None]], dim=-1)


def transforms_batch_last(transforms: Tensor, batch: tuple[int, ...]) -> Tensor:
    """(..., K, 3, 4) to (K, 3, 4, B), the order of :func:`~motionlab.body.blend_skinning.skin`."""
    count = transforms.shape[-3]
    flat = transforms.expand(*batch, count, 3, 4).reshape(-1, 12 * count).mT  # (12 K, B)
    return flat.reshape(count, 3, 4, -1)


def carried_joints(joints: Tensor, rotations: Tensor, rest: Tensor, ancestors: Tensor) -> Tensor:
    """All J joints from the K posed ones (..., K, 3): the rest moves rigidly with its ancestors.

    Args:
        joints, rotations: (..., K, 3) and (..., K, 3, 3) of the posed joints.
        rest: (..., J, 3) before posing.
        ancestors: (J,) nearest posed ancestor; unread for the posed joints themselves.

    Returns:
        (..., J, 3)
    """
    count = joints.shape[-2]
    if count == rest.shape[-2]:
        return joints
    carriers = ancestors[count:]
    arms = rest[..., count:, :] - rest[..., carriers, :]  # (..., J - K, 3)
    moved = joints[..., carriers, :] + (rotations[..., carriers, :, :] @ arms[..., None])[..., 0]
    return torch.cat([joints, moved], dim=-2)


def with_batch(vertices: Tensor, batch: tuple[int, ...], transl: Tensor | None) -> Tensor:
    """Skinned vertices (V, 3, B) as (*batch, V, 3), moved by ``transl`` (..., 3)."""
    vertices = vertices.permute(2, 0, 1).unflatten(0, batch) if batch else vertices[..., 0]
    return vertices if transl is None else vertices + transl[..., None, :]
