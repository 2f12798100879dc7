"""Which joints the pose arguments of a body turn, and bringing them to rotation matrices of one batch shape."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from motionlab.body.rotations import rotvec_to_rotmat

# Joints [first, end) of every pose argument, by family; hands are left before right, as are eyes.
POSE_PARTS: dict[str, dict[str, tuple[int, int]]] = {
    'smplx': {'root_orient': (0, 1), 'pose_body': (1, 22), 'pose_jaw': (22, 23), 'pose_eye': (23, 25),
              'pose_hand': (25, 55)},
    'smplh': {'root_orient': (0, 1), 'pose_body': (1, 22), 'pose_hand': (22, 52)},
    'smpl': {'root_orient': (0, 1), 'pose_body': (1, 22), 'pose_hand': (22, 24)},
}


def pose_matrices(family: str, poses: Mapping[str, Tensor | None], other_batch_axes: int | None = None,
                  hand_mean: Tensor | None = None) -> dict[str, Tensor]:
    """Rotation matrices (..., K, 3, 3) of every pose argument that is given.

    Args:
        family: Key of :data:`POSE_PARTS`.
        poses: Axis-angle in radians (..., 3 K) or (..., K, 3), or matrices (..., K, 3, 3), by name; for one joint
            (..., 3) or (..., 3, 3).
        other_batch_axes: Batch axes of the arguments that are no rotations; None without any.
        hand_mean: (90,) added to ``pose_hand`` given as axis-angle; stands in where it is not given.

    Raises:
        ValueError: The family has no such joints, a shape fits no form, or (..., 3, 3) for one joint may be three
            axis-angle vectors as well as a matrix because nothing else tells the number of batch axes.
    """
    parts = POSE_PARTS[family]
    given = {name: pose for name, pose in poses.items() if pose is not None}
    if hand_mean is not None:
        given.setdefault('pose_hand', torch.zeros_like(hand_mean))
    unknown = [name for name in given if name not in parts]
    if unknown:
        raise ValueError(f'{", ".join(unknown)}: a {family} body has no such joints, only {list(parts)}')
    counts = {name: parts[name][1] - parts[name][0] for name in given}
    forms = {name: _form(name, pose, counts[name]) for name, pose in given.items()}
    known = [len(batch) for name, (_, batch) in forms.items() if batch is not None]
    known += [] if other_batch_axes is None else [other_batch_axes]
    matrices = {}
    for name, pose in given.items():
        is_matrix, batch = forms[name]
        if batch is None:
            is_matrix, batch = _settle(name, pose, known)
        if is_matrix:
            matrices[name] = pose.reshape(*batch, counts[name], 3, 3)
            continue
        if name == 'pose_hand' and hand_mean is not None:
            pose = pose.reshape(*batch, -1) + hand_mean
        matrices[name] = rotvec_to_rotmat(pose.reshape(*batch, counts[name], 3))  # (..., K, 3, 3)
    return matrices


def _form(name: str, pose: Tensor, count: int) -> tuple[bool, tuple[int, ...] | None]:
    """(whether it holds matrices, batch shape); the latter None where one joint's (..., 3, 3) could be either."""
    shape = tuple(pose.shape)
    if count == 1:
        if shape[-2:] == (3, 3):
            return True, None
        if shape[-1:] == (3,):
            return False, shape[:-1]
    else:
        if shape[-3:] == (count, 3, 3):
            return True, shape[:-3]
        if shape[-2:] == (count, 3):
            return False, shape[:-2]
        if shape[-1:] == (3 * count,):
            return False, shape[:-1]
    forms = '(..., 3) or (..., 3, 3)' if count == 1 else (
        f'(..., {3 * count}), (..., {count}, 3) or (..., {count}, 3, 3)')
    raise ValueError(f'{name}: found shape {shape}, expected {forms}')


def _settle(name: str, pose: Tensor, known: list[int]) -> tuple[bool, tuple[int, ...]]:
    """Matrix or three vectors? Whichever has the batch axes of the other arguments; alone, (B, 3, 3) is matrices."""
    shape = tuple(pose.shape)
    if known:
        vectors = max(known) == len(shape) - 1
        return (False, shape[:-1]) if vectors else (True, shape[:-2])
    if len(shape) == 2:
        raise ValueError(f'{name}: shape {shape} may be one matrix or three axis-angle vectors; write (1, 3, 3) for '
                         'the matrix, or give another argument that shows the batch axes')
    return True, shape[:-2]


def local_matrices(family: str, matrices: Mapping[str, Tensor], count: int, like: Tensor) -> Tensor:
    """(..., count, 3, 3) rotations of joints 0 to count - 1: those of ``matrices``, the identity elsewhere."""
    batch = common_batch(*(turns.shape[:-3] for turns in matrices.values()))
    identity = torch.eye(3, dtype=like.dtype, device=like.device)
    pieces = [matrices.get(name, identity).expand(*batch, end - first, 3, 3)
              for name, (first, end) in POSE_PARTS[family].items() if first < count]
    return torch.cat(pieces, dim=-3)


def common_batch(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Batch shape that all of ``shapes`` broadcast to."""
    return tuple(torch.broadcast_shapes(*shapes))


def batch_last(values: Tensor, batch: tuple[int, ...]) -> Tensor:
    """(*b, n) to (n, B) where b broadcasts to ``batch`` of B elements; (n, 1) where b has one element only."""
    if math.prod(values.shape[:-1]) != 1:
        values = values.expand(*batch, values.shape[-1])
    return values.reshape(-1, values.shape[-1]).mT  # (n, B)
