"""What a lifter must beat: answering with the mean pose, whatever the input."""

from collections.abc import Iterable

import torch
from torch import Tensor

from motionlab.evaluation.functional.pose import joint_errors


def mean_pose(batches: Iterable[tuple[Tensor, Tensor]], root_index: int = 0) -> Tensor:
    """Mean root-relative pose.

    Args:
        batches: Pairs of poses (..., K, 3) in metres, absolute or root-relative, and visibility (..., K).

    Returns:
        (K, 3) float64 metres; 0 for joints that are never visible.
    """
    total, count = torch.zeros(()), torch.zeros(())
    for pose, visible in batches:
        relative, counted = _root_relative(pose, visible, root_index)
        total = total + torch.where(counted[..., None], relative, 0).sum(dim=0)            # (K, 3)
        count = count + counted.sum(dim=0)                                                 # (K,)
    return total / count[..., None].clamp(min=1)


def constant_pose_mpjpe(answer: Tensor, batches: Iterable[tuple[Tensor, Tensor]], root_index: int = 0) -> float:
    """MPJPE in millimetres of always answering with ``answer`` (K, 3); ``batches`` as for :func:`mean_pose`."""
    total, count = 0.0, 0
    for pose, visible in batches:
        relative, counted = _root_relative(pose, visible, root_index)
        total += joint_errors(answer.expand_as(relative), relative)[counted].sum().item()
        count += int(counted.sum())
    return 1000 * total / count if count else float('nan')


def _root_relative(pose: Tensor, visible: Tensor, root_index: int) -> tuple[Tensor, Tensor]:
    """(N, K, 3) float64 and (N, K) bool."""
    pose = pose.double().flatten(0, -3)                                                    # (N, K, 3)
    return pose - pose[:, root_index:root_index + 1], visible.bool().flatten(0, -2)
