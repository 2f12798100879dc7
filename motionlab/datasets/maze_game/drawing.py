"""From a state to its picture: tiles of 4 pixels make 64 x 64, tiles of 8 make 128 x 128.

The top row of tiles shows lives (left) and the time left of a power pellet (right); the 15 x 15 tiles below are the
board, half a tile from the left. A quarter of a tile is ``tile_px / 4`` pixels.
"""

from functools import lru_cache

import numpy as np

from motionlab.codecs.frame_batch import RIGHT
from motionlab.datasets.maze_game import sprites
from motionlab.datasets.maze_game.maze import TILES, maze_of
from motionlab.datasets.maze_game.sprites import Sprite, check_tile_px, ghost_sprite, pellet_core, phase, player_sprite
from motionlab.datasets.maze_game.state import PELLET, POWER_PELLET, TICKS, MazeState, Mover


def frame_size(tile_px: int) -> int:
    """Height and width of a picture."""
    return check_tile_px(tile_px) * (TILES + 1)


def board_origin(tile_px: int) -> tuple[int, int]:
    """(x, y) in pixels of the board's top left."""
    return tile_px // 2, tile_px


def pixel_of(mover: Mover, tile_px: int) -> tuple[int, int]:
    """(x, y) in pixels of the sprite's top left."""
    left, top = board_origin(tile_px)
    return left + mover.x * tile_px // TICKS, top + mover.y * tile_px // TICKS


def bar_columns(tile_px: int, fright: int) -> slice:
    """Columns of the timer bar: one quarter tile per step, ending under the right end of the board."""
    end = board_origin(tile_px)[0] + TILES * tile_px
    return slice(end - fright * (tile_px // TICKS), end)


def bar_rows(tile_px: int) -> slice:
    return slice(tile_px // TICKS, tile_px - tile_px // TICKS)


def life_columns(tile_px: int, life: int) -> slice:
    """Columns of the icon of life 0, 1, ..."""
    start = board_origin(tile_px)[0] + life * (tile_px + tile_px // TICKS)
    return slice(start, start + tile_px)


def render(state: MazeState, tile_px: int = 4) -> np.ndarray:
    """The picture of a state.

    Returns:
        (16 tile_px, 16 tile_px, 3) uint8 RGB.

    Raises:
        ConfigError: a size of tiles there are no sprites for.
    """
    frame = _board(state.walls, state.pellets, check_tile_px(tile_px)).copy()
    frightened = state.fright > 0
    for number, ghost in enumerate(state.ghosts):
        stamp(frame, ghost, tile_px, ghost_sprite(tile_px, number, ghost.facing, frightened))
        for tile in ghost.tiles:
            if state.pellets[tile]:
                _shine(frame, ghost, tile, ghost_sprite(tile_px, number, ghost.facing, frightened, state.pellets[tile]))
    player = state.player
    stamp(frame, player, tile_px, player_sprite(tile_px, player.facing, state.caught, phase(player.x, player.y)))
    for life in range(state.lives):
        np.copyto(frame[:tile_px, life_columns(tile_px, life)], player_sprite(tile_px, RIGHT, False, 0).rgb)
    if frightened:
        frame[bar_rows(tile_px), bar_columns(tile_px, state.fright)] = sprites.BAR
    return frame


@lru_cache(maxsize=64)
def _background(walls: bytes, tile_px: int) -> np.ndarray:
    """Walls with lit edges, no pellets."""
    size = frame_size(tile_px)
    left, top = board_origin(tile_px)
    floor = np.zeros((size + 2, size + 2), bool)
    board = floor[1 + top:1 + top + TILES * tile_px, 1 + left:1 + left + TILES * tile_px]
    board[:] = np.kron(maze_of(walls).grid == 0, np.ones((tile_px, tile_px), bool))
    near = np.zeros((size, size), bool)
    for dy in range(3):
        for dx in range(3):
            near |= floor[dy:dy + size, dx:dx + size]
    frame = np.empty((size, size, 3), np.uint8)
    frame[:] = sprites.WALL
    frame[near] = sprites.WALL_EDGE
    frame[floor[1:-1, 1:-1]] = sprites.FLOOR
    frame[:top] = sprites.FLOOR
    frame.setflags(write=False)
    return frame


@lru_cache(maxsize=256)
def _board(walls: bytes, pellets: bytes, tile_px: int) -> np.ndarray:
    """Walls and pellets."""
    frame = _background(walls, tile_px).copy()
    left, top = board_origin(tile_px)
    span, core = TILES * tile_px, pellet_core(tile_px)
    kinds = np.frombuffer(pellets, np.uint8).reshape(TILES, TILES)
    board = frame[top:top + span, left:left + span]
    for dy in range(core.start, core.stop):
        for dx in range(core.start, core.stop):
            board[dy::tile_px, dx::tile_px][kinds == PELLET] = sprites.PELLET_COLOURS[PELLET]
    for row, column in np.argwhere(kinds == POWER_PELLET):
        stamp(frame, Mover(column * TICKS, row * TICKS, 0), tile_px, sprites.power_sprite(tile_px))
    frame.setflags(write=False)
    return frame


def stamp(frame: np.ndarray, mover: Mover, tile_px: int, sprite: Sprite) -> None:
    """Draw a sprite into a frame, where it is opaque."""
    x, y = pixel_of(mover, tile_px)
    np.copyto(frame[y:y + tile_px, x:x + tile_px], sprite.rgb, where=sprite.mask)


def _shine(frame: np.ndarray, ghost: Mover, tile: int, sprite: Sprite) -> None:
    """Stamp the part of a ghost that covers the middle of a tile, where a pellet shines through."""
    tile_px = len(sprite.rgb)
    left, top = board_origin(tile_px)
    core = pellet_core(tile_px)
    x, y = pixel_of(ghost, tile_px)
    x0, y0 = max(left + tile % TILES * tile_px + core.start, x), max(top + tile // TILES * tile_px + core.start, y)
    x1 = min(left + tile % TILES * tile_px + core.stop, x + tile_px)
    y1 = min(top + tile // TILES * tile_px + core.stop, y + tile_px)
    if x0 < x1 and y0 < y1:
        here = slice(y0 - y, y1 - y), slice(x0 - x, x1 - x)
        np.copyto(frame[y0:y1, x0:x1], sprite.rgb[here], where=sprite.mask[here])
