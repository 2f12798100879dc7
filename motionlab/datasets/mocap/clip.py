"""One recorded motion on its own skeleton, whatever the file format it came from."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from motionlab.body.kinematics import forward_kinematics
from motionlab.body.rotations import interpolate_rotations
from motionlab.body.skeletons import tree_levels
from motionlab.datasets.frame_rates import frame_times, interpolate_positions, stride_to


@dataclass(frozen=True)
class MocapClip:
    """Local motion of a joint tree; float64, metres, world axes of the file.

    Args:
        file: Where it came from, for messages.
        joint_names: J names; parents come before their children.
        parents: J indices, -1 for the root.
        rotations: (T, J, 3, 3) rotation of each joint in its parent's frame.
        translations: (T, J, 3) position of each joint in its parent's frame; the root's is its world position.
        bone_ends: (J, 3) where the bone that starts at a joint ends, in the joint's frame; NaN where the file tells
            none.
        fps: Frames per second.
    """

    file: str
    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    rotations: Tensor
    translations: Tensor
    bone_ends: Tensor
    fps: float

    def __len__(self) -> int:
        return len(self.rotations)

    def zero_pose(self) -> Tensor:
        """(T, J, 3) positions with every rotation undone and the root at the origin, metres."""
        positions: list[Tensor] = []
        for joint, parent in enumerate(self.parents):
            moved = self.translations[:, joint]
            positions.append(torch.zeros_like(moved) if parent < 0 else positions[parent] + moved)
        return torch.stack(positions, dim=1)

    def global_pose(self) -> tuple[Tensor, Tensor]:
        """World positions (T, J, 3) in metres and world rotations (T, J, 3, 3)."""
        root = tree_levels(self.parents)[0][0]
        return forward_kinematics(self.rotations, self.zero_pose(), self.translations[:, root], self.parents)


def resample(clip: MocapClip, fps: float) -> MocapClip:
    """The clip at ``fps``: every n-th frame where n is a whole number within 2 %, else interpolated.

    Kept frames carry the frame rate they really have (source rate / n). Interpolation is spherical for rotations and
    linear for translations.

    Raises:
        ValueError: ``fps`` is not positive.
    """
    if not fps > 0:
        raise ValueError(f'resample: found {fps} frames per second, expected a positive number')
    stride = stride_to(clip.fps, fps)
    if stride is not None:
        return replace(clip, rotations=clip.rotations[::stride], translations=clip.translations[::stride],
                       fps=clip.fps / stride)
    times = frame_times(len(clip), clip.fps, fps)  # (N,) in source frames
    return replace(clip, rotations=interpolate_rotations(clip.rotations, times),
                   translations=interpolate_positions(clip.translations, times), fps=fps)
