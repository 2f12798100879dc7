"""Which joints the pose arguments of a body turn, and bringing all of them to rotation matrices."""

from collections.abc import Mapping

import torch
from torch import Tensor

from motionlab.body.joint_chain import batch_last, common_elements

_LEAST_SQUARE = 1e-30
NUM_BODY = 22  # Root and the 21 body joints, which every family has in the same places.

# Joints [first, end) of every pose argument, by family; hands are left before right, as are eyes.
POSE_PARTS: dict[str, dict[str, tuple[int, int]]] = {
    'smplx': {'root_orient': (0, 1), 'pose_body': (1, 22), 'pose_jaw': (22, 23), 'pose_eye': (23, 25),
              'pose_hand': (25, 55)},
    'smplh': {'root_orient': (0, 1), 'pose_body': (1, 22), 'pose_hand': (22, 52)},
    'smpl': {'root_orient': (0, 1), 'pose_body': (1, 22), 'pose_hand': (22, 24)},
}


def local_rotations(family: str, poses: Mapping[str, Tensor | None], other_batches: Mapping[str, tuple[int, ...]],
                    like: Tensor, hand_mean: Tensor | None) -> tuple[Tensor, tuple[int, ...]]:
    """Rotation matrices of the joints in their parents' frames, from whichever pose arguments are given.

    Args:
        family: Key of :data:`POSE_PARTS`.
        poses: Axis-angle in radians (..., 3 K) or (..., K, 3), or matrices (..., K, 3, 3), by name; for one joint
            (..., 3) or (..., 3, 3). None for zero.
        other_batches: Batch shapes, by name, of the arguments that are no rotations.
        like: Tensor whose dtype and device the result has.
        hand_mean: (90,) added to ``pose_hand`` given as axis-angle, standing in where it is not given; or None.

    Returns:
        (J, 3, 3, 1 or B), only joints 0 to 21 where no others are turned, and the batch shape of all arguments, which
        has B elements.

    Raises:
        ValueError: The family has no such joints, a shape fits no form, batch axes do not broadcast, or (3, 3) for one
            joint may be three axis-angle vectors as well as a matrix because nothing else tells the batch axes.
    """
    parts = POSE_PARTS[family]
    given = {name: pose.to(like) for name, pose in poses.items() if pose is not None}
    if hand_mean is not None:
        given.setdefault('pose_hand', torch.zeros_like(hand_mean))
    unknown = [name for name in given if name not in parts]
    if unknown:
        raise ValueError(f'{", ".join(unknown)}: a {family} body has no such joints, only {list(parts)}')
    vectors, matrices = _by_form(given, parts, other_batches)
    if hand_mean is not None and 'pose_hand' in vectors:
        vectors['pose_hand'] = vectors['pose_hand'] + hand_mean.view(-1, 3)
    batch = _common_batch({**other_batches, **{name: pose.shape[:-2] for name, pose in vectors.items()},
                           **{name: pose.shape[:-3] for name, pose in matrices.items()}})
    vectors = {name: batch_last(pose, batch, 2) for name, pose in vectors.items()}   # (K, 3, 1 or B)
    turns = {name: batch_last(pose, batch, 3) for name, pose in matrices.items()}    # (K, 3, 3, 1 or B)
    elements = common_elements((*vectors.values(), *turns.values()))
    if vectors:  # All in one go: a small conversion costs as much as a large one.
        joined = rotvec_to_rotmat_batch_last(torch.cat([pose.expand(-1, -1, elements) for pose in vectors.values()]))
        turns |= zip(vectors, joined.split([len(pose) for pose in vectors.values()]))
    identity = torch.eye(3, dtype=like.dtype, device=like.device)[None, ..., None]  # (1, 3, 3, 1)
    body_alone = turns.keys() <= {'root_orient', 'pose_body'}
    pieces = [turns.get(name, identity).expand(end - first, 3, 3, elements)
              for name, (first, end) in parts.items() if not (body_alone and first >= NUM_BODY)]
    return torch.cat(pieces), batch


def _by_form(poses: Mapping[str, Tensor], parts: Mapping[str, tuple[int, int]],
             other_batches: Mapping[str, tuple[int, ...]]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Poses given as axis-angle, as (..., K, 3), and those given as matrices (..., K, 3, 3)."""
    counts = {name: parts[name][1] - parts[name][0] for name in poses}
    forms = {name: _form(name, pose, counts[name]) for name, pose in poses.items()}
    known = [len(batch) for _, batch in forms.values() if batch is not None]
    known += map(len, other_batches.values())
    vectors, matrices = {}, {}
    for name, pose in poses.items():
        is_matrix, batch = forms[name]
        if batch is None:
            is_matrix, batch = _settle(name, pose, known)
        if is_matrix:
            matrices[name] = pose.reshape(*batch, counts[name], 3, 3)
        else:
            vectors[name] = pose.reshape(*batch, counts[name], 3)
    return vectors, matrices


def _common_batch(batches: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    try:
        return tuple(torch.broadcast_shapes(*batches.values()))
    except RuntimeError as error:
        found = ', '.join(f'{name} {tuple(batch)}' for name, batch in batches.items())
        raise ValueError(f'batch axes do not broadcast: found {found}; expected equal sizes, or 1') from error


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


def rotvec_to_rotmat_batch_last(rotvec: Tensor) -> Tensor:
    """:func:`~motionlab.body.rotations.rotvec_to_rotmat` for (K, 3, B), giving (K, 3, 3, B).

    Vectors whose numbers lie B apart take 40 % of the time of roma's, which lie side by side, and joints without a mesh
    spent half of theirs on this conversion. Value and gradient are right at zero too (Rodrigues' formula).
    """
    x, y, z = rotvec.unbind(1)  # (K, B)
    # Where the square underflows, its root would have an infinite gradient.
    angle = (x * x + y * y + z * z).clamp_min(_LEAST_SQUARE).sqrt()
    sine = angle.sin() / angle
    half_sine = (angle / 2).sin() / angle
    versine = 2 * half_sine * half_sine  # (1 - cos) / angle^2 without cancellation
    sx, sy, sz = sine * x, sine * y, sine * z
    vx, vy, vz = versine * x, versine * y, versine * z
    xx, yy, zz, xy, xz, yz = vx * x, vy * y, vz * z, vx * y, vx * z, vy * z
    return torch.stack([1 - yy - zz, xy - sz, xz + sy,
                        xy + sz, 1 - xx - zz, yz - sx,
                        xz - sy, yz + sx, 1 - xx - yy], dim=1).unflatten(1, (3, 3))
