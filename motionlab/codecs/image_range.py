"""Pictures as files hold them, and as networks take them."""

import torch
from torch import Tensor

from motionlab.utils import DataError


def to_images(frames: Tensor) -> Tensor:
    """Pictures -> (..., 3, H, W) in [-1, 1].

    Args:
        frames: uint8 (..., H, W, 3), RGB; or floating (..., 3, H, W) that is in [-1, 1] already.

    Raises:
        DataError: another type, shape or range.
    """
    channel = -1 if frames.dtype == torch.uint8 else -3
    if not (frames.dtype == torch.uint8 or frames.is_floating_point()) or frames.ndim < 3 \
            or frames.shape[channel] != 3:
        raise DataError('frames', 'type and shape', f'{frames.dtype} {tuple(frames.shape)}',
                        'uint8 (..., H, W, 3) or floats (..., 3, H, W)')
    if frames.dtype == torch.uint8:
        return frames.movedim(-1, -3).to(torch.float32) / 127.5 - 1
    low, high = (bound.item() for bound in frames.detach().aminmax()) if frames.numel() else (0, 0)
    if not (low >= -1 and high <= 1):
        raise DataError('frames', 'range', f'{low:.4g} to {high:.4g}', '-1 to 1',
                        'Black is -1 and white is 1; uint8 frames (..., H, W, 3) are converted here.')
    return frames


def to_uint8(images: Tensor) -> Tensor:
    """(..., 3, H, W) in [-1, 1] -> uint8 (..., H, W, 3); values beyond are clamped, halves rounded to even."""
    return ((images.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).movedim(-3, -1)


def check_frame_size(height: int, width: int, factor: int, source: object = 'frames') -> None:
    """Raise :class:`DataError` with the nearest valid size unless both sides are positive multiples of ``factor``."""
    valid = tuple(max(1, (side + factor // 2) // factor) * factor for side in (height, width))
    if (height, width) != valid:
        raise DataError(source, 'height and width', f'{height} x {width} px', f'multiples of {factor} px',
                        f'The nearest valid size is {valid[0]} x {valid[1]}.')
