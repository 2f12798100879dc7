"""Joint sets: names, parents, left-right pairs, and the mapping from COCO to Human3.6M order."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
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

# COCO defines no tree; this one hangs everything on the nose and closes shoulders and hips with extra edges.
COCO_17 = Skeleton(
    name='coco17',
    joint_names=('nose', 'left_eye', 'right_eye', 'left_ear', 'right_ear', 'left_shoulder', 'right_shoulder',
                 'left_elbow', 'right_elbow', 'left_wrist', 'right_wrist', 'left_hip', 'right_hip', 'left_knee',
                 'right_knee', 'left_ankle', 'right_ankle'),
    parents=(-1, 0, 0, 1, 2, 0, 0, 5, 6, 7, 8, 5, 6, 11, 12, 13, 14),
    extra_edges=((5, 6), (11, 12)))


def _coco_to_h36m_weights() -> np.ndarray:
    """(17, 17) weights: H36M joint i = sum_j weights[i, j] * COCO joint j."""
    weights = np.zeros((17, 17))
    for h36m, coco in {1: 12, 2: 14, 3: 16, 4: 11, 5: 13, 6: 15, 9: 0, 11: 5, 12: 7, 13: 9, 14: 6, 15: 8,
                       16: 10}.items():
        weights[h36m, coco] = 1
    weights[0, [11, 12]] = weights[8, [5, 6]] = weights[10, [1, 2]] = 0.5
    weights[7] = (weights[0] + weights[8]) / 2
    return weights


_COCO_TO_H36M = _coco_to_h36m_weights()


def coco_to_h36m(values: Tensor | np.ndarray) -> Tensor | np.ndarray:
    """COCO-17 keypoints, scores or both to Human3.6M-17 order (mmpose's rule for lifting inputs).

    Root, thorax, spine and head are means of COCO joints; means of confidences alike.

    Args:
        values: (..., 17, C) floating-point coordinates (any C; a confidence may be one of the channels).
            A bare confidence array (..., 17) is passed as ``confidence[..., None]``.

    Returns:
        (..., 17, C), same type, dtype and device.
    """
    if values.ndim < 2 or values.shape[-2] != len(COCO_17):
        raise ValueError(f'coco_to_h36m: found shape {tuple(values.shape)}, expected (..., 17, C)')
    if isinstance(values, Tensor):
        return torch.as_tensor(_COCO_TO_H36M, dtype=values.dtype, device=values.device) @ values  # (..., 17, C)
    return _COCO_TO_H36M.astype(values.dtype) @ values  # (..., 17, C)
