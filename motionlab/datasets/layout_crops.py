"""Cutting objects out of pictures, and bringing pictures to the size of latents."""

import numpy as np


def crop_objects(picture: np.ndarray, boxes: np.ndarray) -> list[np.ndarray]:
    """What lies in each box; edges are rounded down, and a crop has at least one pixel.

    Args:
        picture: (H, W, 3) uint8.
        boxes: (N, 4) xyxy in [0, 1].

    Returns:
        N pictures (h, w, 3) uint8.
    """
    height, width = picture.shape[:2]
    edges = np.floor(np.asarray(boxes, np.float64) * (width, height, width, height)).astype(int)  # (N, 4)
    crops = []
    for x1, y1, x2, y2 in edges.tolist():
        x1, y1 = (min(max(low, 0), side - 1) for low, side in ((x1, width), (y1, height)))
        x2, y2 = (min(max(high, low + 1), side) for high, low, side in ((x2, x1, width), (y2, y1, height)))
        crops.append(picture[y1:y2, x1:x2])
    return crops


def resize_picture(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 to height and width ``size``, Lanczos; sides may change their ratio, as boxes in [0, 1] do."""
    if picture.shape[:2] == tuple(size):
        return picture
    from PIL import Image  # pillow comes with matplotlib.
    return np.array(Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.LANCZOS))


def size_for_latents(height: int, width: int, side: int, multiple: int) -> tuple[int, int]:
    """Height and width that keep the ratio of a picture as multiples allow, with about ``side`` x ``side`` pixels.

    Args:
        height: Of the picture, pixels.
        width: Of the picture, pixels.
        side: Square root of the pixels wanted.
        multiple: Of which both are multiples.
    """
    ratio = (height / width) ** 0.5
    return tuple(max(round(side * factor / multiple), 1) * multiple for factor in (ratio, 1 / ratio))
