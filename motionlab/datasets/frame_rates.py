"""From one frame rate to another: every n-th frame where that fits, else points in time between frames."""

import torch
from torch import Tensor

_STRIDE_TOLERANCE = 0.02  # 59.94 and 60 frames per second are one rate.


def stride_to(source_fps: float, fps: float) -> int | None:
    """n where every n-th frame gives ``fps`` within 2 %, or None where frames have to be interpolated.

    Raises:
        ValueError: a rate is not positive.
    """
    if not (fps > 0 and source_fps > 0):
        raise ValueError(f'stride_to: found {source_fps} to {fps} frames per second, expected positive numbers')
    stride = max(round(source_fps / fps), 1)
    return stride if abs(source_fps / stride / fps - 1) <= _STRIDE_TOLERANCE else None


def frame_times(num_frames: int, source_fps: float, fps: float) -> Tensor:
    """(M,) float64 times at ``fps`` from the first frame on and not beyond the last, counted in source frames."""
    count = int((num_frames - 1) * fps / source_fps + 1e-6) + 1
    times = torch.arange(count, dtype=torch.float64) * (source_fps / fps)  # (M,)
    return times.clamp(max=num_frames - 1)


def interpolate_positions(positions: Tensor, times: Tensor) -> Tensor:
    """Linear interpolation of (T, ...) values at (M,) times counted in frames: (M, ...)."""
    before = times.floor().long()  # (M,)
    after = (before + 1).clamp(max=len(positions) - 1)
    step = (times - before).to(positions.dtype).view(-1, *[1] * (positions.ndim - 1))
    return torch.lerp(positions[before], positions[after], step)  # (M, ...)
