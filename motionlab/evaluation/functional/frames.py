"""How close predicted pictures are to real ones.

Pictures are (..., H, W, 3): uint8, or floating point in [0, 1]; numbers are those of pictures in [0, 1], in float64. A
game's pictures hardly change from one step to the next, so a number means something only beside that of the last frame
shown again (copy-last) and on the pixels that changed.
"""

import torch
from torch import Tensor

CAP_DB = 100.0
SSIM_WINDOW = 11
_SSIM_SIGMA = 1.5
_SSIM_K = (0.01, 0.03)


def to_unit(frames: Tensor) -> Tensor:
    """uint8 or floating point in [0, 1] -> float64 in [0, 1]."""
    return frames.double() / 255 if frames.dtype == torch.uint8 else frames.double()


def frame_mse(frames: Tensor, target: Tensor) -> Tensor:
    """Squared error (...), mean over places and channels."""
    _check(frames, target)
    return (to_unit(frames) - to_unit(target)).square().mean(dim=(-3, -2, -1))


def psnr_of_mse(mse: Tensor) -> Tensor:
    """Peak signal-to-noise ratio, 10 log10(1 / MSE) in dB, at most 100."""
    return (-10 * mse.double().log10()).clamp(max=CAP_DB)


def psnr(frames: Tensor, target: Tensor) -> Tensor:
    """PSNR (...) of every frame, dB, at most 100."""
    return psnr_of_mse(frame_mse(frames, target))


def ssim(frames: Tensor, target: Tensor) -> Tensor:
    """Structural similarity (...), mean over channels and over all places where the window lies inside the picture.

    Gaussian window of 11 x 11 with sigma 1.5, K = (0.01, 0.03), range 1 (Wang et al., "Image quality assessment: from
    error visibility to structural similarity", 2004).

    Args:
        frames, target: (..., H, W, 3), H and W at least 11.
    """
    _check(frames, target, SSIM_WINDOW)
    x, y = (to_unit(each).movedim(-1, -3).flatten(0, -3)[:, None] for each in (frames, target))  # (n 3, 1, H, W)
    steps = torch.arange(SSIM_WINDOW, dtype=torch.float64, device=x.device) - SSIM_WINDOW // 2
    weights = torch.exp(-steps.square() / (2 * _SSIM_SIGMA ** 2))                          # (11,)
    weights = weights / weights.sum()
    maps = torch.cat([x, y, x * x, y * y, x * y], dim=1)                                   # (n 3, 5, H, W)
    for shape in ((SSIM_WINDOW, 1), (1, SSIM_WINDOW)):
        maps = torch.nn.functional.conv2d(maps, weights.view(1, 1, *shape).expand(5, -1, -1, -1), groups=5)
    mean_x, mean_y, xx, yy, xy = maps.unbind(1)                                            # (n 3, h, w)
    c1, c2 = (k ** 2 for k in _SSIM_K)
    values = ((2 * mean_x * mean_y + c1) * (2 * (xy - mean_x * mean_y) + c2)
              / ((mean_x ** 2 + mean_y ** 2 + c1) * (xx - mean_x ** 2 + yy - mean_y ** 2 + c2)))
    return values.mean(dim=(-2, -1)).view(*frames.shape[:-3], 3).mean(dim=-1)


def changed_pixels(target: Tensor, last: Tensor) -> Tensor:
    """(..., H, W) bool: where any channel of the target differs from the frame before it."""
    _check(last, target)
    return (target != last).any(dim=-1)


def changed_errors(frames: Tensor, target: Tensor, changed: Tensor) -> Tensor:
    """Squared error summed over changed pixels, mean over channels: (...), to be divided by their number.

    Args:
        frames, target: (..., H, W, 3)
        changed: (..., H, W) bool of :func:`changed_pixels`.
    """
    _check(frames, target)
    return ((to_unit(frames) - to_unit(target)).square().mean(dim=-1) * changed).sum(dim=(-2, -1))


def horizons(num_frames: int) -> list[int]:
    """1, 2, 4, ... and the last: how many frames ahead a rollout is judged."""
    powers = [2 ** k for k in range(num_frames.bit_length()) if 2 ** k <= num_frames]
    return powers if powers and powers[-1] == num_frames else [*powers, num_frames]


def drift_horizon(mse: Tensor, baseline: Tensor) -> int | None:
    """The first frame of a rollout, counted from 1, whose error is above the baseline's; None where there is none.

    Args:
        mse: (N, T) squared error of frame t of rollout n; the mean over rollouts is compared.
        baseline: (N, T) that of the first frame shown again (copy-first).
    """
    worse = (mse.double().mean(dim=0) > baseline.double().mean(dim=0)).nonzero()           # (n, 1)
    return int(worse[0]) + 1 if len(worse) else None


def _check(frames: Tensor, target: Tensor, least: int = 1) -> None:
    if frames.shape != target.shape or frames.ndim < 3 or frames.shape[-1] != 3 or min(frames.shape[-3:-1]) < least:
        raise ValueError(f'frame metric: found shapes {tuple(frames.shape)} and {tuple(target.shape)}, expected the '
                         f'same (..., H, W, 3) with H and W at least {least}')
