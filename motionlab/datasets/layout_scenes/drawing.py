"""From a scene to its picture, from an object to its reference picture."""

from functools import lru_cache

import numpy as np

from motionlab.datasets.layout_scenes.scene import (
    COLOURS,
    PERIOD,
    SHAPES,
    TEXTURES,
    Background,
    SceneObject,
    SceneSpec,
    random_scene,
)
from motionlab.utils import ConfigError

REFERENCE_SIZE = 32             # Side of a reference picture in px,
_REFERENCE_SIDE = 28            # and of the object in it.
CELL = PERIOD // 2              # Side of a texture's cell in px.
DARK = 0.5                      # Brightness of every other cell.
_SATURATION, _VALUE = 0.85, 0.9
_GREYS = (90, 170)              # Behind references.


def draw_scene(scene: SceneSpec | int) -> np.ndarray:
    """The picture of a scene, or of the random scene of a seed: (size, size, 3) uint8 RGB."""
    scene = random_scene(scene) if isinstance(scene, int) else scene
    picture = _gradient(scene.background, scene.size)
    for number in scene.drawing_order:
        _paint(picture, scene.objects[number])
    return picture


def draw_reference(thing: SceneObject, seed: int) -> np.ndarray:
    """The same object alone on grey at another size, its texture shifted by lot.

    Pixels of the scene cannot simply be copied from it: what carries over is what the object looks like.

    Returns:
        (32, 32, 3) uint8 RGB
    """
    rng = np.random.default_rng((seed, 1))
    start = (REFERENCE_SIZE - _REFERENCE_SIDE) // 2
    end = start + _REFERENCE_SIDE
    x, y = rng.integers(0, PERIOD, 2)
    grey = rng.uniform(*_GREYS)
    picture = _gradient(Background(grey, grey), REFERENCE_SIZE)
    _paint(picture, SceneObject(thing.shape, thing.colour, thing.texture, (start, start, end, end), (int(x), int(y))))
    return picture


def foreground_mask(scene: SceneSpec) -> np.ndarray:
    """(size, size) bool: where any object lies."""
    return object_map(scene) >= 0


def object_map(scene: SceneSpec) -> np.ndarray:
    """(size, size) int64: position in ``objects`` of the object that is seen, -1 for the background."""
    seen = np.full((scene.size, scene.size), -1)
    for number in scene.drawing_order:
        x1, y1, x2, y2 = scene.objects[number].box
        seen[y1:y2, x1:x2][shape_mask(scene.objects[number].shape, y2 - y1, x2 - x1)] = number
    return seen


@lru_cache(maxsize=4096)
def shape_mask(shape: str, height: int, width: int) -> np.ndarray:
    """(height, width) bool: the shape, as large as the box; read-only.

    Raises:
        ConfigError: an unknown shape.
    """
    y, x = ((np.arange(side) + 0.5) * 2 / side - 1 for side in (height, width))  # Pixel centres, -1 to 1.
    y = y[:, None]
    if shape == 'circle':
        mask = x ** 2 + y ** 2 <= 1
    elif shape == 'square':
        mask = np.ones((height, width), bool)
    elif shape == 'triangle':  # Its tip is at the top.
        mask = np.abs(x) <= (y + 1) / 2 + 1 / width
    elif shape == 'diamond':
        mask = np.abs(x) + np.abs(y) <= 1 + 1 / max(height, width)
    else:
        raise ConfigError(f'shape: found {shape!r}, expected one of {list(SHAPES)}.')
    mask.setflags(write=False)
    return mask


@lru_cache(maxsize=4096)
def texture_pattern(texture: str, height: int, width: int, phase: tuple[int, int] = (0, 0)) -> np.ndarray:
    """(height, width) bool: where the texture is bright; read-only.

    Args:
        texture: One of :data:`TEXTURES`; ``horizontal`` stripes run from left to right.
        height, width: In px.
        phase: x and y in px by which the texture is shifted.

    Raises:
        ConfigError: an unknown texture.
    """
    row = (np.arange(height)[:, None] + phase[1]) // CELL % 2 == 0
    column = (np.arange(width)[None] + phase[0]) // CELL % 2 == 0
    patterns = {'solid': np.ones((height, width), bool), 'horizontal': np.repeat(row, width, axis=1),
                'vertical': np.repeat(column, height, axis=0), 'checker': row == column}
    if texture not in patterns:
        raise ConfigError(f'texture: found {texture!r}, expected one of {list(TEXTURES)}.')
    patterns[texture].setflags(write=False)
    return patterns[texture]


@lru_cache(maxsize=len(COLOURS))
def colour_rgb(colour: str) -> np.ndarray:
    """(3,) float64 RGB, 0 to 255, of a colour's bright cells; read-only.

    Raises:
        ConfigError: an unknown colour.
    """
    if colour not in COLOURS:
        raise ConfigError(f'colour: found {colour!r}, expected one of {list(COLOURS)}.')
    sector = COLOURS.index(colour) * 6 / len(COLOURS)
    ramp = np.clip(np.abs((sector + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1, 0, 1)  # Red, green, blue of the pure hue.
    rgb = 255 * _VALUE * (1 - _SATURATION + _SATURATION * ramp)
    rgb.setflags(write=False)
    return rgb


def _gradient(background: Background, size: int) -> np.ndarray:
    """(size, size, 3) uint8."""
    place = (np.arange(size) + 0.5) * 2 / size - 1
    along = place[None] * np.cos(background.angle) + place[:, None] * np.sin(background.angle)
    share = (along / np.sqrt(2) + 1) / 2
    grey = (background.start + (background.end - background.start) * share).round().astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _paint(picture: np.ndarray, thing: SceneObject) -> None:
    x1, y1, x2, y2 = thing.box
    bright = texture_pattern(thing.texture, y2 - y1, x2 - x1, thing.phase)                 # (h, w)
    rgb = colour_rgb(thing.colour)
    colours = np.stack([rgb * DARK, rgb]).round().astype(np.uint8)[bright.astype(np.int64)]  # (h, w, 3)
    mask = shape_mask(thing.shape, y2 - y1, x2 - x1)
    np.copyto(picture[y1:y2, x1:x2], colours, where=mask[..., None])
