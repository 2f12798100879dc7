"""Mazes of 15 x 15 tiles: depth-first search over the odd cells of one half, mirrored, every dead end opened."""

from collections.abc import Sequence
from functools import cached_property, lru_cache

import numpy as np

from motionlab.codecs.frame_batch import DOWN, LEFT, RIGHT, UP
from motionlab.utils import DataError

TILES = 15
STEPS = ((-1, 0), (1, 0), (0, -1), (0, 1))  # (columns, rows) by direction
OPPOSITE = (RIGHT, LEFT, DOWN, UP)

_CELLS = TILES // 2  # a row of cells; cell (c, r) is tile (2c + 1, 2r + 1)
_HALF = _CELLS // 2  # the column of cells on the mirror axis


class Maze:
    """Which tiles are walls, and what follows from it.

    Args:
        walls: 225 bytes, row by row from the top left: 1 wall, 0 floor. The border is wall.

    Raises:
        DataError: another number of tiles, another value, or an open border.
    """

    def __init__(self, walls: bytes):
        grid = np.frombuffer(walls, np.uint8)
        if grid.size != TILES * TILES or grid.max() > 1:
            raise DataError('walls', 'tiles', f'{grid.size} bytes up to {grid.max(initial=0)}',
                            f'{TILES * TILES} bytes of 0 and 1')
        self.walls = walls
        self.grid = grid.reshape(TILES, TILES)  # (row, column)
        if not (self.grid[[0, -1]].all() and self.grid[:, [0, -1]].all()):
            raise DataError('walls', 'border', 'floor', 'wall all around')

    @cached_property
    def exits(self) -> tuple[tuple[int, ...], ...]:
        """Directions in which one can leave each tile, by tile number; none for walls."""
        return tuple(
            () if wall else tuple(d for d, (dx, dy) in enumerate(STEPS) if not self.walls[tile + dy * TILES + dx])
            for tile, wall in enumerate(self.walls))

    @cached_property
    def floor(self) -> tuple[int, ...]:
        """Numbers of the open tiles."""
        return tuple(tile for tile, wall in enumerate(self.walls) if not wall)

    def is_open(self, column: int, row: int) -> bool:
        return 0 <= column < TILES and 0 <= row < TILES and not self.walls[row * TILES + column]


@lru_cache(maxsize=256)
def maze_of(walls: bytes) -> Maze:
    """The maze of these walls, made once."""
    return Maze(walls)


@lru_cache(maxsize=256)
def make_walls(seed: int) -> bytes:
    """Walls of the maze of this seed: mirrored left to right, connected, without dead ends.

    Returns:
        225 bytes for :class:`Maze`; the same on every machine (PCG64, integers only).
    """
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, 0x6D617A65))))
    grid = np.ones((TILES, TILES), np.uint8)
    grid[1::2, 1::2] = 0
    _carve_half(grid, rng)
    _open_dead_ends(grid, rng)
    return grid.tobytes()


def _carve_half(grid: np.ndarray, rng: np.random.Generator) -> None:
    """A spanning tree of the left half including the axis, and its mirror image."""
    stack, seen = [(_HALF, _HALF)], {(_HALF, _HALF)}
    while stack:
        cell = stack[-1]
        ahead = [(d, near) for d, near in _neighbours(cell) if near[0] <= _HALF and near not in seen]
        if not ahead:
            stack.pop()
            continue
        direction, near = ahead[rng.integers(len(ahead))]
        _open_wall(grid, cell, direction)
        seen.add(near)
        stack.append(near)


def _open_dead_ends(grid: np.ndarray, rng: np.random.Generator) -> None:
    for row in range(_CELLS):
        for column in range(_CELLS):
            closed = [d for d, _ in _neighbours((column, row)) if _is_closed(grid, (column, row), d)]
            if len(closed) == len(list(_neighbours((column, row)))) - 1:
                _open_wall(grid, (column, row), closed[rng.integers(len(closed))])


def _neighbours(cell: tuple[int, int]) -> Sequence[tuple[int, tuple[int, int]]]:
    near = ((d, (cell[0] + dx, cell[1] + dy)) for d, (dx, dy) in enumerate(STEPS))
    return [(d, (x, y)) for d, (x, y) in near if 0 <= x < _CELLS and 0 <= y < _CELLS]


def _between(cell: tuple[int, int], direction: int) -> tuple[int, int]:
    dx, dy = STEPS[direction]
    return 2 * cell[1] + 1 + dy, 2 * cell[0] + 1 + dx  # (row, column)


def _is_closed(grid: np.ndarray, cell: tuple[int, int], direction: int) -> bool:
    return bool(grid[_between(cell, direction)])


def _open_wall(grid: np.ndarray, cell: tuple[int, int], direction: int) -> None:
    row, column = _between(cell, direction)
    grid[row, column] = grid[row, TILES - 1 - column] = 0
