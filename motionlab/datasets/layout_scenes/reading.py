"""What a picture of a scene shows: an exact oracle, by colours and templates.

Foreground is what has a colour (saturation above 0.15). An object is found by the hue of its colour where that is
strong (above 0.35): its largest patch, patches less than two pixels apart counting as one.
"""

from dataclasses import dataclass

import numpy as np

from motionlab.datasets.layout_scenes.captions import parse_phrase
from motionlab.datasets.layout_scenes.drawing import CELL, shape_mask, texture_pattern
from motionlab.datasets.layout_scenes.scene import COLOURS, SHAPES, TEXTURES
from motionlab.evaluation.functional.layout import mask_iou

_COLOURED = 0.15                # Saturation of the foreground.
_STRONG = 0.35                  # Of objects: they end where fringes, as of lossy codecs, begin.
_PRESENT = 0.1                  # Of a box must have the colour before anything else is read from it.
_PATTERNED = 0.5                # Correlation of brightness with a pattern below which an object is solid.
_LEAST_PX = 4                   # A smaller patch is no object.
_SHIFTS = {  # Phases of textures; those half a period on have dark and bright changed over.
    'horizontal': [(0, y) for y in range(CELL)], 'vertical': [(x, 0) for x in range(CELL)],
    'checker': [(x, y) for x in range(CELL) for y in range(CELL)]}


@dataclass(frozen=True)
class ObjectReading:
    """What is seen in a box; None where nothing is.

    Attributes:
        colour: One of ``COLOURS``.
        shape: One of ``SHAPES``.
        texture: One of ``TEXTURES``.
    """

    colour: str | None = None
    shape: str | None = None
    texture: str | None = None


def foreground_of(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (H, W) bool: what has a colour."""
    return _is_saturated(picture, _COLOURED)


def _is_saturated(picture: np.ndarray, least: float) -> np.ndarray:
    brightest = picture.max(axis=-1).astype(np.float64)
    return brightest - picture.min(axis=-1) > least * brightest


def hues_of(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (H, W) int64: position in ``COLOURS`` of the nearest hue, -1 where none is strong."""
    red, green, blue = np.moveaxis(picture.astype(np.float64), -1, 0)
    angle = np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue)                # (H, W) rad
    nearest = np.rint(angle / (2 * np.pi) * len(COLOURS)).astype(np.int64) % len(COLOURS)
    return np.where(_is_saturated(picture, _STRONG), nearest, -1)


def find_colour(picture: np.ndarray, colour: str) -> np.ndarray:
    """The box of the largest patch of a colour: (1, 4) xyxy as shares of the picture, or (0, 4).

    A :data:`motionlab.evaluation.functional.layout.Detector`.
    """
    from scipy import ndimage
    mask = hues_of(picture) == COLOURS.index(colour)                                       # (H, W)
    grown = ndimage.binary_dilation(mask, np.ones((3, 3), bool))
    patches, count = ndimage.label(grown)
    if not count:
        return np.zeros((0, 4))
    sizes = np.bincount(patches[mask], minlength=count + 1)
    largest = mask & (patches == sizes.argmax())
    if largest.sum() < _LEAST_PX:
        return np.zeros((0, 4))
    rows, columns = (np.flatnonzero(largest.any(axis=axis)) for axis in (1, 0))
    height, width = mask.shape
    return np.array([[columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height]])


def detect_object(picture: np.ndarray, phrase: str) -> np.ndarray:
    """As :func:`find_colour`, for what a caption calls an object: ``'red checker circle'``."""
    return find_colour(picture, parse_phrase(phrase)[0])


def read_object(picture: np.ndarray, box: np.ndarray) -> ObjectReading:
    """What a box shows.

    Args:
        picture: (H, W, 3) uint8
        box: (4,) xyxy as shares of the picture.
    """
    height, width = picture.shape[:2]
    x1, y1, x2, y2 = np.rint(np.asarray(box, np.float64) * [width, height, width, height]).astype(int)
    crop = picture[y1:max(y2, y1 + 1), x1:max(x2, x1 + 1)]                                 # (h, w, 3)
    hues = hues_of(crop)
    counts = np.bincount(hues[hues >= 0], minlength=len(COLOURS))
    if counts.max() < _PRESENT * hues.size:
        return ObjectReading()
    mask = hues == counts.argmax()                                                         # (h, w)
    fits = [mask_iou(mask, shape_mask(shape, *mask.shape)) for shape in SHAPES]
    return ObjectReading(COLOURS[counts.argmax()], SHAPES[int(np.argmax(fits))], _texture(crop, mask))


def _texture(crop: np.ndarray, mask: np.ndarray) -> str:
    """The pattern that goes best with the brightness inside the mask."""
    brightness = crop.max(axis=-1)[mask].astype(np.float64)                                # (n,)
    best, fit = TEXTURES[0], _PATTERNED
    for texture, phases in _SHIFTS.items():
        for phase in phases:
            found = abs(_correlation(brightness, texture_pattern(texture, *mask.shape, phase)[mask]))
            if found > fit:
                best, fit = texture, found
    return best


def _correlation(values: np.ndarray, pattern: np.ndarray) -> float:
    pattern, values = pattern - pattern.mean(), values - values.mean()
    size = np.sqrt((pattern @ pattern) * (values @ values))
    return float(values @ pattern / size) if size > 0 else 0.0
