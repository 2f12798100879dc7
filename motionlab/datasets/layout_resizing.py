"""Bringing pictures to the size of latents."""

import numpy as np


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
