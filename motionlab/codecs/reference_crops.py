"""Cutting objects out of pictures, and bringing them to the size that an encoder takes.

One definition of a crop: from ``floor(x1 W)`` to ``floor(x2 W)`` (likewise y), inside the picture, at least one pixel.
One resampling: cubic (a = -0.5), widened by the factor of reduction, which is that of Pillow and of torch with
``antialias=True``; here for boxes of any size at once, and differentiable.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from motionlab.utils import DataError

_CUBIC = -0.5
_REACH = 2.0  # px on either side of a cubic's middle.


def crop_bounds(boxes: Tensor, height: int, width: int) -> Tensor:
    """(..., 4) xyxy as shares of the picture -> (..., 4) int64 px, half-open, at least one pixel."""
    sides = torch.tensor([width, height, width, height], dtype=torch.float64, device=boxes.device)
    px = (boxes.double() * sides).floor().long()
    start = px[..., :2].clamp(min=0).minimum(sides[:2].long() - 1)
    return torch.cat([start, px[..., 2:].minimum(sides[2:].long()).maximum(start + 1)], dim=-1)


def crop_boxes(images: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Cut a box out of each picture and squash it to a square.

    Args:
        images: (M, 3, H, W), of any range.
        boxes: (M, 4) xyxy as shares of the picture.
        size: S, side of the result in px.

    Returns:
        (M, 3, S, S), differentiable with respect to ``images``.
    """
    bounds = crop_bounds(boxes, *images.shape[-2:])                                        # (M, 4)
    columns = resampling_weights(bounds[:, 0], bounds[:, 2], images.shape[3], size).to(images.dtype)  # (M, S, W)
    rows = resampling_weights(bounds[:, 1], bounds[:, 3], images.shape[2], size).to(images.dtype)     # (M, S, H)
    return torch.einsum('msh,mchw,mtw->mcst', rows, images, columns)


def cut_out(picture: np.ndarray, box: Sequence[float]) -> np.ndarray:
    """The crop of a box, at its own size.

    Args:
        picture: (H, W, 3)
        box: x1 y1 x2 y2 as shares of the picture.
    """
    x1, y1, x2, y2 = crop_bounds(torch.tensor(box, dtype=torch.float64), *picture.shape[:2]).tolist()
    return picture[y1:y2, x1:x2]


def resampling_weights(start: Tensor, end: Tensor, length: int, size: int) -> Tensor:
    """Weights that bring the pixels ``start ... end - 1`` of a line of ``length`` to ``size`` pixels.

    Args:
        start, end: (M,) int64

    Returns:
        (M, size, length) float32; rows add up to 1, pixels outside have weight 0.
    """
    place = torch.arange(length, device=start.device)
    scale = (end - start).float()[:, None] / size                                          # (M, 1) px per px
    middle = start[:, None] + (torch.arange(size, device=start.device) + 0.5) * scale      # (M, S)
    distance = (place + 0.5 - middle[..., None]) / scale.clamp(min=1)[..., None]           # (M, S, L)
    inside = (place >= start[:, None]) & (place < end[:, None])                            # (M, L)
    weights = _cubic(distance.abs()) * inside[:, None]
    return weights / weights.sum(dim=-1, keepdim=True)


def _cubic(x: Tensor) -> Tensor:
    near = ((_CUBIC + 2) * x - (_CUBIC + 3)) * x * x + 1
    far = _CUBIC * (((x - 5) * x + 8) * x - 4)
    return torch.where(x <= 1, near, torch.where(x < _REACH, far, 0.0))


def squash(pictures: Sequence[np.ndarray], size: int) -> Tensor:
    """Pictures of any size, each squashed to a square.

    Args:
        pictures: uint8 RGB (h, w, 3).
        size: S, px.

    Returns:
        (M, 3, S, S) float32 in [0, 1]

    Raises:
        DataError: not uint8 RGB, or empty.
    """
    return _stacked([resize(_as_tensor(each), size, size) for each in pictures], size)


def fit_and_cut(pictures: Sequence[np.ndarray], size: int) -> Tensor:
    """As :func:`squash`, but the shorter side becomes ``size``, and what the longer has beyond it is cut off on both
    sides: CLIP's way, which loses the ends of long objects."""
    crops = []
    for picture in map(_as_tensor, pictures):
        height, width = picture.shape[-2:]
        short = min(height, width)
        resized = resize(picture, int(size * height / short), int(size * width / short))
        top, left = (round((side - size) / 2.0) for side in resized.shape[-2:])
        crops.append(resized[:, top:top + size, left:left + size])
    return _stacked(crops, size)


def resize(picture: Tensor, height: int, width: int) -> Tensor:
    """(3, h, w) -> (3, height, width), cubic, widened when reducing; clamped to [0, 1]."""
    if picture.shape[1:] == (height, width):  # Weights would be 0 and 1.
        return picture
    ends = (torch.zeros(1, dtype=torch.int64), torch.tensor([picture.shape[1]]))
    rows = resampling_weights(*ends, picture.shape[1], height)[0]                          # (height, h)
    columns = resampling_weights(ends[0], torch.tensor([picture.shape[2]]), picture.shape[2], width)[0]
    return torch.einsum('sh,chw,tw->cst', rows, picture, columns).clamp(0, 1)


def _as_tensor(picture: np.ndarray) -> Tensor:
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise DataError('reference picture', 'type and shape', f'{picture.dtype} {picture.shape}', 'uint8 (h, w, 3)')
    return torch.from_numpy(np.ascontiguousarray(picture)).movedim(-1, 0).float() / 255    # (3, h, w)


def _stacked(crops: list[Tensor], size: int) -> Tensor:
    return torch.stack(crops) if crops else torch.zeros(0, 3, size, size)
