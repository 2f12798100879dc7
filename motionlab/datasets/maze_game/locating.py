"""From a picture back to what is in it, by exact template match: for measuring what a model of the game imagines.

Every sprite is compared with the picture at every quarter tile; in the middle of a tile a ghost may also have the
colour of a pellet shining through. In pictures of the game itself everything is found exactly, :func:`read_state`
inverts ``render``; in imagined ones ``tolerance`` says how far from a template's colours still counts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from motionlab.codecs.frame_batch import DOWN, LEFT, RIGHT, UP
from motionlab.datasets.maze_game import sprites
from motionlab.datasets.maze_game.drawing import (
    bar_columns,
    bar_rows,
    board_origin,
    frame_size,
    life_columns,
    pixel_of,
    render,
    stamp,
)
from motionlab.datasets.maze_game.maze import TILES, maze_of
from motionlab.datasets.maze_game.rules import FRIGHT_STEPS, LIVES
from motionlab.datasets.maze_game.sprites import Sprite, ghost_sprite, pellet_core, player_sprite
from motionlab.datasets.maze_game.state import MAX_GHOSTS, PELLET, POWER_PELLET, TICKS, MazeState, Mover, touch
from motionlab.utils import DataError

IMAGINED = 30.0  # a tolerance that finds sprites in pictures with the noise of a trained model, and no others

_PLACES = (TILES - 1) * TICKS + 1  # of a sprite along one axis
_FACINGS = (LEFT, RIGHT, UP, DOWN)
_LEAST_VISIBLE = 1 / 3             # of a ghost behind a caught player
_WALL_KIND = 3                     # beside 0 nothing, 1 pellet, 2 power pellet
_TILE_COLOURS = np.array([sprites.FLOOR, *(sprites.PELLET_COLOURS[kind] for kind in (PELLET, POWER_PELLET)),
                          sprites.WALL], np.int32)


@dataclass(frozen=True)
class Located:
    """What a picture shows.

    Attributes:
        player: The best match within the tolerance; None when there is none.
        ghosts: The same for ghosts 0 to 3.
        num_players: How many players there are, apart from each other; 1 is right.
        num_ghosts: How many there are of each ghost.
        caught: Whether the player looks caught.
        pellets: (15, 15) uint8 by row and column of tiles: 0 none, 1 pellet, 2 power pellet.
        walls: (15, 15) bool.
        fright: Steps left on the timer.
        lives: Icons of lives.
    """

    player: Mover | None
    ghosts: tuple[Mover | None, ...]
    num_players: int
    num_ghosts: tuple[int, ...]
    caught: bool
    pellets: np.ndarray
    walls: np.ndarray
    fright: int
    lives: int

    @property
    def pellets_left(self) -> int:
        return int((self.pellets > 0).sum())


class _Match(NamedTuple):
    error: float  # mean over visible pixels and channels
    hidden: int   # pixels behind the player
    mover: Mover
    kind: int     # number of the ghost; for the player whether it is caught


def in_wall(walls: bytes, mover: Mover) -> bool:
    """Whether a sprite covers part of a wall, which the rules forbid."""
    maze = maze_of(walls)
    return not all(maze.is_open(tile % TILES, tile // TILES) for tile in mover.tiles)


def locate(frame: np.ndarray, tolerance: float = 0.0) -> Located:
    """Find everything in a picture.

    Args:
        frame: (64, 64, 3) or (128, 128, 3) uint8 RGB.
        tolerance: Largest mean absolute difference from a template, in levels of 0 to 255 over its opaque pixels and
            their channels. 0 asks for exact matches; :data:`IMAGINED` suits predicted pictures.

    Raises:
        DataError: another shape or type of picture.
    """
    tile_px = _tile_px(frame)
    pixels = frame.astype(np.int32)
    matcher = _Matcher(pixels, tile_px, tolerance)
    players = _apart(matcher.matches(_player_templates(tile_px)))
    player, caught = (players[0].mover, bool(players[0].kind)) if players else (None, False)
    if caught:
        matcher.hide(player)
    # Ghosts never overlap, so at each place the best match wins; frightened ones differ by their eyes only.
    ghosts = _apart(matcher.matches(_ghost_templates(tile_px)))
    by_number = [[match.mover for match in ghosts if match.kind == number] for number in range(MAX_GHOSTS)]
    fright = _read_fright(pixels, tile_px)
    pellets, walls = _read_tiles(pixels, tile_px)
    _read_behind(pixels, tile_px, pellets, walls, players[:1], ghosts, fright > 0)
    return Located(player, tuple(found[0] if found else None for found in by_number), len(players),
                   tuple(map(len, by_number)), caught, pellets, walls, fright,
                   _read_lives(pixels, tile_px))


def read_state(frame: np.ndarray) -> MazeState:
    """The state a picture of the game shows; score, tick and seed, which it does not show, are 0.

    Raises:
        DataError: the game cannot look like this.
    """
    seen = locate(frame)
    ghosts = tuple(ghost for ghost in seen.ghosts if ghost is not None)
    if seen.player is None or None in seen.ghosts[:len(ghosts)]:
        raise DataError('frame', 'sprites', f'player {seen.player}, ghosts {seen.ghosts}',
                        'a player and ghosts numbered from 0')
    state = MazeState(seen.walls.astype(np.uint8).tobytes(), seen.pellets.tobytes(), seen.player, ghosts, seen.fright,
                      seen.lives)
    different = (render(state, _tile_px(frame)) != frame).any(-1).sum()
    if different:
        raise DataError('frame', 'pixels', f'{different} that no rule explains', 'a picture of the game')
    return state


class _Template(NamedTuple):
    """One look of a sprite, for comparing.

    Attributes:
        pixels: (row, column, colours) of the opaque ones, brightest first: most places fail at the first few. The
            first colour is its own, the others those with a pellet shining through.
        facing: What it tells.
        kind: As in :class:`_Match`.
        phase: The half of the places where it can be; None for all.
    """

    pixels: tuple[tuple[int, int, tuple[tuple[int, int, int], ...]], ...]
    facing: int
    kind: int
    phase: int | None


@cache
def _player_templates(tile_px: int) -> list[_Template]:
    return [_template((player_sprite(tile_px, facing, caught, phase),), facing, int(caught), phase)
            for caught in (False, True) for facing in _FACINGS for phase in (0, 1)]


@cache
def _ghost_templates(tile_px: int) -> list[_Template]:
    return [_template([ghost_sprite(tile_px, number, facing, frightened, over) for over in (0, 1, 2)], facing, number)
            for number in range(MAX_GHOSTS) for facing in _FACINGS for frightened in (False, True)]


def _template(looks: Sequence[Sprite], facing: int, kind: int, phase: int | None = None) -> _Template:
    opaque = sorted(np.argwhere(looks[0].mask[..., 0]).tolist(), key=lambda at: -int(looks[0].rgb[tuple(at)].sum()))
    pixels = tuple((y, x, tuple(dict.fromkeys(tuple(look.rgb[y, x].tolist()) for look in looks))) for y, x in opaque)
    return _Template(pixels, facing, kind, phase)


class _Matcher:
    """Compares templates with one picture at all quarter tiles."""

    def __init__(self, pixels: np.ndarray, tile_px: int, tolerance: float):
        self._pixels, self._tile_px, self._tolerance = pixels, tile_px, tolerance
        left, top = board_origin(tile_px)
        steps = np.arange(_PLACES) * (tile_px // TICKS)
        self._places = ((top + steps)[:, None] * pixels.shape[1] + left + steps).ravel()  # of top left pixels
        self._phases = sprites.phase(*np.indices((_PLACES, _PLACES))).ravel()
        self._planes = [np.ascontiguousarray(pixels[..., channel].ravel()) for channel in range(3)]
        self._errors: dict[tuple[tuple[int, int, int], ...], np.ndarray] = {}
        self._middles = _middles(tile_px)
        self._hidden: np.ndarray | None = None

    def hide(self, player: Mover) -> None:
        """From now on, what is behind this caught player counts neither for nor against a match."""
        sprite = player_sprite(self._tile_px, player.facing, True, sprites.phase(player.x, player.y))
        x, y = pixel_of(player, self._tile_px)
        hidden = np.zeros(self._pixels.shape[:2], bool)
        hidden[y:y + self._tile_px, x:x + self._tile_px] = sprite.mask[..., 0]
        self._hidden = hidden.ravel()
        self._errors.clear()

    def matches(self, templates: Sequence[_Template]) -> Iterator[_Match]:
        """All places where a template fits."""
        for template in templates:
            numbers = np.arange(len(self._places)) if template.phase is None else np.flatnonzero(
                self._phases == template.phase)
            total = np.zeros(len(numbers), np.int32)
            limit = 3 * self._tolerance * len(template.pixels)
            for row, column, colours in template.pixels:
                at = self._places[numbers] + row * self._pixels.shape[1] + column
                total = total + self._error(colours)[at]
                fits = total <= limit
                if not fits.all():
                    numbers, total = numbers[fits], total[fits]
                if not len(numbers):
                    break
            for number, error in zip(numbers.tolist(), total.tolist()):
                yield from self._judge(template, number, error)

    def _judge(self, template: _Template, number: int, error: int) -> Iterator[_Match]:
        """Count visible pixels only."""
        hidden = 0
        if self._hidden is not None:
            start = self._places[number]
            hidden = sum(bool(self._hidden[start + row * self._pixels.shape[1] + column])
                         for row, column, _ in template.pixels)
        visible = len(template.pixels) - hidden
        if visible >= _LEAST_VISIBLE * len(template.pixels) and error <= 3 * self._tolerance * visible:
            row, column = divmod(number, _PLACES)
            yield _Match(error / (3 * visible), hidden, Mover(column, row, template.facing), template.kind)

    def _error(self, colours: tuple[tuple[int, int, int], ...]) -> np.ndarray:
        """(H * W,) distance of every pixel to the first of these colours, summed over channels.

        In the middle of tiles, where pellets are, to the nearest of them.
        """
        if colours not in self._errors:
            first, *shining = colours
            error = _distance(self._planes, first)
            if shining:
                planes = [plane[self._middles] for plane in self._planes]
                error[self._middles] = np.minimum.reduce([error[self._middles],
                                                          *(_distance(planes, colour) for colour in shining)])
            self._errors[colours] = error if self._hidden is None else np.where(self._hidden, 0, error)
        return self._errors[colours]


def _distance(planes: Sequence[np.ndarray], colour: tuple[int, int, int]) -> np.ndarray:
    red, green, blue = (np.abs(plane - value) for plane, value in zip(planes, colour))
    return red + green + blue


@cache
def _middles(tile_px: int) -> np.ndarray:
    """Flat numbers of the pixels in the middle of tiles."""
    left, top = board_origin(tile_px)
    core = pellet_core(tile_px)
    offsets = (np.arange(TILES)[:, None] * tile_px + np.arange(core.start, core.stop)).ravel()
    return ((top + offsets)[:, None] * frame_size(tile_px) + left + offsets).ravel()


def _apart(matches: Iterator[_Match]) -> list[_Match]:
    """The best matches that do not overlap, best first."""
    kept: list[_Match] = []
    for match in sorted(matches):
        if not any(touch(match.mover, other.mover) for other in kept):
            kept.append(match)
    return kept


def _tile_px(frame: np.ndarray) -> int:
    sizes = {(frame_size(tile_px), frame_size(tile_px), 3): tile_px for tile_px in sprites.TILE_SIZES}
    if frame.shape not in sizes or frame.dtype != np.uint8:
        raise DataError('frame', 'shape and type', f'{frame.shape} {frame.dtype}', f'one of {list(sizes)}, uint8')
    return sizes[frame.shape]


def _read_tiles(pixels: np.ndarray, tile_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Pellets (15, 15) uint8 and walls (15, 15) bool, from the pixels in the middle of each tile; as if no sprite were
    there."""
    distance = np.abs(_middle(pixels, tile_px)[:, :, None] - _TILE_COLOURS).sum((1, 3))  # (225, colours)
    kind = distance.argmin(-1).reshape(TILES, TILES)
    return np.where(kind == _WALL_KIND, 0, kind).astype(np.uint8), kind == _WALL_KIND


def _read_behind(pixels: np.ndarray, tile_px: int, pellets: np.ndarray, walls: np.ndarray, players: list[_Match],
                 ghosts: list[_Match], frightened: bool) -> None:
    """Correct the tiles where sprites are: floor, and of the three pellets the one with which they look most alike."""
    covered = sorted(set().union(*(match.mover.tiles for match in (*players, *ghosts))))
    errors = []
    for pellet in (0, PELLET, POWER_PELLET):
        canvas = np.empty(pixels.shape, np.uint8)
        canvas[:] = _TILE_COLOURS[pellet]
        for _, _, ghost, number in ghosts:
            stamp(canvas, ghost, tile_px, ghost_sprite(tile_px, number, ghost.facing, frightened, pellet))
        for _, _, player, caught in players:
            stamp(canvas, player, tile_px, player_sprite(tile_px, player.facing, bool(caught),
                                                         sprites.phase(player.x, player.y)))
        errors.append(np.abs(_middle(canvas.astype(np.int32) - pixels, tile_px)[covered]).sum((1, 2)))
    pellets.reshape(-1)[covered] = np.argmin(errors, axis=0)
    walls.reshape(-1)[covered] = False


def _middle(pixels: np.ndarray, tile_px: int) -> np.ndarray:
    """(225, 4, 3) the pixels in the middle of each tile."""
    return pixels.reshape(-1, 3)[_middles(tile_px)].reshape(TILES, 2, TILES, 2, 3).swapaxes(1, 2).reshape(-1, 4, 3)


def _read_fright(pixels: np.ndarray, tile_px: int) -> int:
    columns = bar_columns(tile_px, FRIGHT_STEPS)
    bar = pixels[bar_rows(tile_px), columns].reshape(-1, FRIGHT_STEPS, tile_px // TICKS, 3).mean((0, 2))
    lit = np.abs(bar - sprites.BAR).sum(-1) < np.abs(bar - sprites.FLOOR).sum(-1)
    return int(np.cumprod(lit[::-1]).sum())  # from the right end


def _read_lives(pixels: np.ndarray, tile_px: int) -> int:
    icon = player_sprite(tile_px, RIGHT, False, 0).rgb.astype(np.int32)
    there = [pixels[:tile_px, life_columns(tile_px, life)] for life in range(LIVES)]
    return int(np.cumprod([np.abs(look - icon).sum() < np.abs(look).sum() for look in there]).sum())
