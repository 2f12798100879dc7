"""What a scene of textured, coloured shapes consists of, and how scenes are drawn by lot."""

from dataclasses import dataclass

import numpy as np

from motionlab.codecs.layout_batch import DEPTH_LABELS
from motionlab.datasets.layout_caption import depth_label
from motionlab.utils import ConfigError

SIZE = 64                       # Side of a picture in px.
SHAPES = ('circle', 'square', 'triangle', 'diamond')
COLOURS = ('red', 'orange', 'lime', 'green', 'cyan', 'blue', 'purple', 'pink')  # Hues of k / 8 of the circle.
TEXTURES = ('solid', 'horizontal', 'vertical', 'checker')
MAX_OBJECTS = 4
_SIDES = (14, 32)               # Of an object's box in px, both ends included.
_OVERLAP = 0.15                 # Largest intersection of two boxes, as a share of the smaller.
_TRIES = 200
_GREYS = (70, 190)              # Of the background's gradient.
PERIOD = 8                      # Of textures in px: two cells.


@dataclass(frozen=True)
class SceneObject:
    """One object.

    Attributes:
        shape: One of :data:`SHAPES`.
        colour: One of :data:`COLOURS`.
        texture: One of :data:`TEXTURES`.
        box: x1, y1, x2, y2 in px, half-open.
        phase: x and y in px by which the texture is shifted.
    """

    shape: str
    colour: str
    texture: str
    box: tuple[int, int, int, int]
    phase: tuple[int, int] = (0, 0)

    @property
    def area(self) -> int:
        """Of the box, px^2."""
        x1, y1, x2, y2 = self.box
        return (x2 - x1) * (y2 - y1)


@dataclass(frozen=True)
class Background:
    """A grey gradient: ``start`` at the edge where ``angle`` comes from, ``end`` at the opposite one; angle in rad."""

    start: float = 128.0
    end: float = 128.0
    angle: float = 0.0


@dataclass(frozen=True)
class SceneSpec:
    """One scene; objects in the order of its caption, which is not the order in which they are drawn.

    Attributes:
        objects: 1 to 4 objects, each of another colour.
        background: What lies behind them.
        size: Side of the picture in px.
    """

    objects: tuple[SceneObject, ...]
    background: Background = Background()
    size: int = SIZE

    @property
    def boxes(self) -> np.ndarray:
        """(N, 4) float32, x1 y1 x2 y2 as shares of the picture."""
        return np.array([each.box for each in self.objects], np.float32).reshape(-1, 4) / self.size

    @property
    def depth_labels(self) -> list[str]:
        """Guessed from boxes, as for any picture."""
        return [depth_label(box) for box in self.boxes]

    @property
    def drawing_order(self) -> list[int]:
        """Positions in ``objects``, farthest first; of two equally far ones the larger is behind."""
        depth = [DEPTH_LABELS.index(label) for label in self.depth_labels]
        return sorted(range(len(self.objects)), key=lambda i: (-depth[i], -self.objects[i].area, i))


def random_scene(seed: int, max_objects: int = MAX_OBJECTS, size: int = SIZE) -> SceneSpec:
    """Draw a scene by lot: the same seed gives the same scene.

    Objects are equally often 1 to ``max_objects``; where the last ones find no free place there are fewer.

    Raises:
        ConfigError: the seed is negative, or a number is out of range.
    """
    if seed < 0 or not 1 <= max_objects <= MAX_OBJECTS or size < 2 * _SIDES[1]:
        raise ConfigError(f'random_scene: found seed={seed}, max_objects={max_objects}, size={size}; expected a seed '
                          f'that is not negative, 1 to {MAX_OBJECTS} objects and at least {2 * _SIDES[1]} px.')
    rng = np.random.default_rng(seed)
    colours = rng.permutation(len(COLOURS))
    objects: list[SceneObject] = []
    for number in range(int(rng.integers(1, max_objects + 1))):
        box = _free_box(rng, [each.box for each in objects], size)
        if box is None:
            break
        objects.append(SceneObject(
            SHAPES[rng.integers(len(SHAPES))], COLOURS[colours[number]], TEXTURES[rng.integers(len(TEXTURES))], box,
            _random_phase(rng)))
    start, end = rng.uniform(*_GREYS, 2)
    return SceneSpec(tuple(objects), Background(float(start), float(end), float(rng.uniform(0, 2 * np.pi))), size)


def _random_phase(rng: np.random.Generator) -> tuple[int, int]:
    x, y = rng.integers(0, PERIOD, 2)
    return int(x), int(y)


def _free_box(rng: np.random.Generator, taken: list[tuple[int, ...]], size: int) -> tuple[int, int, int, int] | None:
    """A square box that overlaps the others little; None where chance finds none."""
    for _ in range(_TRIES):
        side = int(rng.integers(_SIDES[0], _SIDES[1] + 1))
        x, y = (int(value) for value in rng.integers(0, size - side + 1, 2))
        box = (x, y, x + side, y + side)
        if all(_overlap(box, other) <= _OVERLAP for other in taken):
            return box
    return None


def _overlap(a: tuple[int, ...], b: tuple[int, ...]) -> float:
    """Intersection of two boxes as a share of the smaller."""
    width, height = (min(a[k + 2], b[k + 2]) - max(a[k], b[k]) for k in (0, 1))
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return max(width, 0) * max(height, 0) / smaller
