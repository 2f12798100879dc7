"""Joint sets: names, parents, left-right pairs, and the mappings to Human3.6M order."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

LEFT, RIGHT, CENTRE = 'left', 'right', 'centre'
# RGB, 0-255; blue and orange stay apart for colour-blind readers too.
SIDE_COLORS: dict[str, tuple[int, int, int]] = {LEFT: (31, 119, 180), RIGHT: (255, 127, 14), CENTRE: (90, 90, 90)}


def tree_levels(parents: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Joints by depth in the tree, root level first; a parent (-1: none) comes before its children."""
    depth: list[int] = []
    for parent in parents:
        depth.append(0 if parent < 0 else depth[parent] + 1)
    return tuple(tuple(j for j, d in enumerate(depth) if d == level) for level in range(max(depth) + 1))


@dataclass(frozen=True)
class Skeleton:
    """A tree of named joints; parents come before their children.

    Args:
        name: Short name of the joint set, e.g. ``h36m17``.
        joint_names: One name per joint; sides are told by the prefixes ``left_`` and ``right_``.
        parents: Index of each joint's parent, -1 for the root.
        extra_edges: Lines that are drawn beside the tree's own (parent, child) edges.
    """

    name: str
    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    extra_edges: tuple[tuple[int, int], ...] = ()

    def __post_init__(self):
        if len(self.joint_names) != len(self.parents) or len(set(self.joint_names)) != len(self.joint_names):
            raise ValueError(f'{self.name}: {len(self.joint_names)} names for {len(self.parents)} parents, or a repeat')
        if any(not -1 <= parent < joint for joint, parent in enumerate(self.parents)):
            raise ValueError(f'{self.name}: a parent must come before its child, found parents {self.parents}')

    def __len__(self) -> int:
        return len(self.joint_names)

    @property
    def num_joints(self) -> int:
        return len(self.joint_names)

    def index(self, joint_name: str) -> int:
        """Position of ``joint_name``; ValueError when the skeleton has no such joint."""
        return self.joint_names.index(joint_name)

    @cached_property
    def sides(self) -> tuple[str, ...]:
        """``left``, ``right`` or ``centre`` for every joint."""
        return tuple(next((side for side in (LEFT, RIGHT) if name.startswith(f'{side}_')), CENTRE)
                     for name in self.joint_names)

    @cached_property
    def flip_indices(self) -> tuple[int, ...]:
        """Joint i of the mirrored pose is joint ``flip_indices[i]`` of the original (its own inverse)."""
        mirror = {LEFT: RIGHT, RIGHT: LEFT}
        names = (name.replace(side, mirror.get(side, side), 1) for name, side in zip(self.joint_names, self.sides))
        return tuple(self.index(name) for name in names)

    @cached_property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """(parent, child) of every bone of the tree, ordered by child."""
        return tuple((parent, joint) for joint, parent in enumerate(self.parents) if parent >= 0)

    @cached_property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """Lines to draw: the bones and the extra edges."""
        return self.bones + self.extra_edges

    @cached_property
    def edge_colors(self) -> tuple[tuple[int, int, int], ...]:
        """RGB (0-255) of every edge: the side of its child; extra edges across the body are centre-coloured."""
        sides = [self.sides[child] for _, child in self.bones]
        sides += [self.sides[a] if self.sides[a] == self.sides[b] else CENTRE for a, b in self.extra_edges]
        return tuple(SIDE_COLORS[side] for side in sides)

    @cached_property
    def levels(self) -> tuple[tuple[int, ...], ...]:
        """Joints by depth in the tree, root level first; all joints of one level can be computed together."""
        return tree_levels(self.parents)


H36M_17 = Skeleton(
    name='h36m17',
    joint_names=('root', 'right_hip', 'right_knee', 'right_foot', 'left_hip', 'left_knee', 'left_foot', 'spine',
                 'thorax', 'neck_base', 'head', 'left_shoulder', 'left_elbow', 'left_wrist', 'right_shoulder',
                 'right_elbow', 'right_wrist'),
    parents=(-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15))

SMPLX_22 = Skeleton(
    name='smplx22',
    joint_names=('pelvis', 'left_hip', 'right_hip', 'spine1', 'left_knee', 'right_knee', 'spine2', 'left_ankle',
                 'right_ankle', 'spine3', 'left_foot', 'right_foot', 'neck', 'left_collar', 'right_collar', 'head',
                 'left_shoulder', 'right_shoulder', 'left_elbow', 'right_elbow', 'left_wrist', 'right_wrist'),
    parents=(-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19))

_HANDS = {f'{side}_{finger}{i}': (f'{side}_wrist' if i == 1 else f'{side}_{finger}{i - 1}')
          for side in (LEFT, RIGHT) for finger in ('index', 'middle', 'pinky', 'ring', 'thumb') for i in (1, 2, 3)}


def _extended(name: str, base: Skeleton, parent_of: dict[str, str]) -> Skeleton:
    """``base`` followed by the joints of ``parent_of``, whose values name their parents."""
    names = (*base.joint_names, *parent_of)
    return Skeleton(name, names, (*base.parents, *(names.index(parent) for parent in parent_of.values())))


# The joints that SMPL-X, SMPL-H and SMPL files hold: the body's 22, then what each family adds.
SMPLX_55 = _extended(
    'smplx55', SMPLX_22, {'jaw': 'head', 'left_eye_smplhf': 'head', 'right_eye_smplhf': 'head'} | _HANDS)
SMPLH_52 = _extended('smplh52', SMPLX_22, _HANDS)
SMPL_24 = _extended('smpl24', SMPLX_22, {'left_hand': 'left_wrist', 'right_hand': 'right_wrist'})

# COCO defines no tree; this one hangs everything on the nose and closes shoulders and hips with extra edges.
COCO_17 = Skeleton(
    name='coco17',
    joint_names=('nose', 'left_eye', 'right_eye', 'left_ear', 'right_ear', 'left_shoulder', 'right_shoulder',
                 'left_elbow', 'right_elbow', 'left_wrist', 'right_wrist', 'left_hip', 'right_hip', 'left_knee',
                 'right_knee', 'left_ankle', 'right_ankle'),
    parents=(-1, 0, 0, 1, 2, 0, 0, 5, 6, 7, 8, 5, 6, 11, 12, 13, 14),
    extra_edges=((5, 6), (11, 12)))

# The test set's order. In it hips and neck come before root and spine, so this tree, whose parents must come first, is
# not the anatomical one; its extra edges close the trunk.
MPI_INF_3DHP_17 = Skeleton(
    name='mpi_inf_3dhp17',
    joint_names=('head_top', 'neck', 'right_shoulder', 'right_elbow', 'right_wrist', 'left_shoulder', 'left_elbow',
                 'left_wrist', 'right_hip', 'right_knee', 'right_ankle', 'left_hip', 'left_knee', 'left_ankle', 'root',
                 'spine', 'head'),
    parents=(-1, 0, 1, 2, 3, 1, 5, 6, 1, 8, 9, 1, 11, 12, 8, 1, 0),
    extra_edges=((11, 14), (14, 15), (1, 16)))

# The 17 of the 28 joints of MPI-INF-3DHP's training annotation, in the order of the test set.
MPI_INF_3DHP_TRAIN_JOINTS = (7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20, 4, 3, 6)

# Entry i: which joint of a layout is Human3.6M joint i; -1 where it has none.
_MPI_INF_3DHP_TO_H36M = (14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4)
_TO_H36M: dict[str, tuple[int, tuple[int, ...]]] = {
    # 32 joints of the recordings, of which 17 move on their own.
    'h36m32': (32, (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)),
    'mpi_inf_3dhp17': (17, _MPI_INF_3DHP_TO_H36M),
    'mpi_inf_3dhp28': (28, tuple(MPI_INF_3DHP_TRAIN_JOINTS[j] for j in _MPI_INF_3DHP_TO_H36M)),
    'smpl24': (24, (0, 2, 5, 8, 1, 4, 7, 6, 12, -1, 15, 16, 18, 20, 17, 19, 21)),
    'fit3d25': (25, tuple(range(17))),
}


# Human3.6M joint i is the mean of these two COCO joints; its spine (7) is that of its root and thorax.
_COCO_PAIRS = ((11, 12), (12, 12), (14, 14), (16, 16), (11, 11), (13, 13), (15, 15), (11, 12), (5, 6), (0, 0),
               (1, 2), (5, 5), (7, 7), (9, 9), (6, 6), (8, 8), (10, 10))
_ROOT, _SPINE, _THORAX = 0, 7, 8


def coco_to_h36m(values: Tensor | np.ndarray) -> Tensor | np.ndarray:
    """COCO-17 keypoints, scores or both to Human3.6M-17 order (mmpose's rule for lifting inputs).

    Root, thorax, spine and head are means of COCO joints; means of confidences alike. What is NaN reaches its own joint
    and means that it is part of.

    Args:
        values: (..., 17, C) coordinates (any C; a confidence may be one of the channels).
            A bare confidence array (..., 17) is passed as ``confidence[..., None]``.

    Returns:
        (..., 17, C), same type and device; same dtype, or floating point for integers.
    """
    if values.ndim < 2 or values.shape[-2] != len(COCO_17):
        raise ValueError(f'coco_to_h36m: found shape {tuple(values.shape)}, expected (..., 17, C)')
    first, second = map(list, zip(*_COCO_PAIRS))
    # Picked, not multiplied by weights: one absent joint (NaN) must not reach the others.
    moved = (values[..., first, :] + values[..., second, :]) / 2  # (..., 17, C)
    moved[..., _SPINE, :] = (moved[..., _ROOT, :] + moved[..., _THORAX, :]) / 2
    return moved


def to_h36m(values: Tensor | np.ndarray, layout: str) -> Tensor | np.ndarray:
    """Joints of another layout in Human3.6M-17 order; joints are picked, never mixed (but for COCO).

    What is called alike is not the same point of the body: joint 9 (neck_base, near the nose) is the middle of the head
    in MPI-INF-3DHP and has no counterpart in SMPL.

    Args:
        values: (..., K, C) coordinates, confidences or both; a bare confidence is passed as ``confidence[..., None]``.
        layout: ``'coco17'`` (:func:`coco_to_h36m`), ``'h36m17'`` (as it is), ``'h36m32'``, ``'mpi_inf_3dhp17'`` (its
            test set), ``'mpi_inf_3dhp28'`` (its training set), ``'smpl24'`` or ``'fit3d25'``.

    Returns:
        (..., 17, C), same type, dtype and device; zeros, hence confidence 0, for joints that the layout lacks
        (:func:`h36m_joints_of` tells which).

    Raises:
        ValueError: The layout is unknown, or K is not its number of joints.
    """
    if layout == 'coco17':
        return coco_to_h36m(values)
    joints, source = _source_joints(layout)
    if values.ndim < 2 or values.shape[-2] != joints:
        raise ValueError(f'to_h36m: found shape {tuple(values.shape)}, expected (..., {joints}, C) for {layout!r}')
    picked = values[..., list(source), :]  # (..., 17, C)
    picked[..., [i for i, j in enumerate(source) if j < 0], :] = 0
    return picked


def h36m_joints_of(layout: str) -> np.ndarray:
    """(17,) bool: Human3.6M joints that ``layout`` has (see :func:`to_h36m`)."""
    return np.array([j >= 0 for j in _source_joints(layout)[1]])


def _source_joints(layout: str) -> tuple[int, tuple[int, ...]]:
    table = _TO_H36M | dict.fromkeys(('h36m17', 'coco17'), (17, tuple(range(17))))
    if layout not in table:
        raise ValueError(f'joint layout {layout!r} is unknown, expected one of {sorted(table)}')
    return table[layout]
