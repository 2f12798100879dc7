"""Our own little pictures: the player, the ghosts, pellets. All colours differ, so a pixel tells what it belongs to."""

from functools import cache
from typing import NamedTuple

import numpy as np

from motionlab.codecs.frame_batch import DOWN, LEFT, RIGHT, UP
from motionlab.datasets.maze_game.state import PELLET, POWER_PELLET, TICKS
from motionlab.utils import ConfigError

TILE_SIZES = (4, 8)

FLOOR = (0, 0, 0)
WALL = (20, 22, 82)
WALL_EDGE = (62, 84, 235)
PELLET_COLOURS = {PELLET: (196, 150, 120), POWER_PELLET: (255, 246, 224)}
BAR = (84, 190, 255)

_PLAYER = {'Y': (255, 222, 26), 'm': (44, 14, 8), 'k': (60, 44, 0)}
_CAUGHT = {'Y': (176, 176, 164), 'm': (70, 8, 8), 'k': (150, 20, 20)}
_GHOSTS = ((255, 58, 46), (255, 92, 196), (40, 226, 244), (96, 236, 110))
_EYE, _PUPIL = (250, 250, 255), (24, 20, 120)
_FRIGHTENED, _FRIGHTENED_PUPIL = (30, 130, 130), (10, 36, 46)

# Facing right; other ways by turning.
_PLAYER_ART = {4: ('.YY. YYmm YYmm .YY.', ) * 2,
               8: ('..YYYY.. .YYYkYY. YYYYYYm. YYYYm... YYYYm... YYYYYYm. .YYYYYY. ..YYYY..',
                   '..YYYY.. .YYYkYY. YYYYYYYY YYYYmmmm YYYYmmmm YYYYYYYY .YYYYYY. ..YYYY..')}
_GHOST_ART = {
    4: {LEFT: '.BB. EBEB BBBB B..B', RIGHT: '.BB. BEBE BBBB B..B',
        UP: '.EE. BBBB BBBB B..B', DOWN: '.BB. BBBB BEEB B..B'},
    8: {LEFT: '..BBBB.. .BBBBBB. EEBBEEBB PEBBPEBB PEBBPEBB BBBBBBBB BBBBBBBB .BB..BB.',
        RIGHT: '..BBBB.. .BBBBBB. BBEEBBEE BBEPBBEP BBEPBBEP BBBBBBBB BBBBBBBB .BB..BB.',
        UP: '..BBBB.. .BBBBBB. BPPBBPPB BEEBBEEB BEEBBEEB BBBBBBBB BBBBBBBB .BB..BB.',
        DOWN: '..BBBB.. .BBBBBB. BBBBBBBB BEEBBEEB BEEBBEEB BPPBBPPB BBBBBBBB .BB..BB.'}}
_POWER_ART = {4: '.oo. oooo oooo .oo.', 8: '........ ..oooo.. .oooooo. .oooooo. .oooooo. .oooooo. ..oooo.. ........'}


class Sprite(NamedTuple):
    """A picture of one tile.

    Attributes:
        rgb: (tile_px, tile_px, 3) uint8.
        mask: (tile_px, tile_px, 1) bool, where it is opaque.
    """

    rgb: np.ndarray
    mask: np.ndarray


def check_tile_px(tile_px: int) -> int:
    """The size of a tile in pixels, or a ConfigError naming the sizes there are."""
    if tile_px not in TILE_SIZES:
        raise ConfigError(f'tile_px: found {tile_px}, expected one of {TILE_SIZES}.')
    return tile_px


@cache
def player_sprite(tile_px: int, facing: int, caught: bool, phase: int) -> Sprite:
    """The player.

    Args:
        facing: Which way the mouth points.
        caught: Whether a ghost has it.
        phase: Quarters of a tile travelled, modulo 2: the mouth opens and closes (8 pixel tiles).
    """
    art = _PLAYER_ART[tile_px][phase % 2]
    letters = _letters(art)
    turned = {RIGHT: letters, LEFT: letters[:, ::-1], UP: np.rot90(letters), DOWN: np.rot90(letters, -1)}[facing]
    return _sprite(turned, _CAUGHT if caught else _PLAYER)


@cache
def ghost_sprite(tile_px: int, number: int, facing: int, frightened: bool, over: int = 0) -> Sprite:
    """A ghost: eyes look where it goes. A frightened one keeps its colour in the eyes, so that one can tell it apart.

    Args:
        number: Which ghost.
        over: What shines through: 0 nothing, 1 a pellet, 2 a power pellet.
    """
    own = _GHOSTS[number]
    colours = {'B': _FRIGHTENED, 'E': own, 'P': _FRIGHTENED_PUPIL} if frightened else {'B': own, 'E': _EYE, 'P': _PUPIL}
    return _sprite(_letters(_GHOST_ART[tile_px][facing]), {key: shine_through(c, over) for key, c in colours.items()})


@cache
def power_sprite(tile_px: int) -> Sprite:
    """A power pellet."""
    return _sprite(_letters(_POWER_ART[tile_px]), {'o': PELLET_COLOURS[POWER_PELLET]})


def shine_through(colour: tuple[int, int, int], pellet: int) -> tuple[int, int, int]:
    """Colour of a ghost's pixel with a pellet (1), a power pellet (2) or nothing (0) behind it."""
    if not pellet:
        return colour
    parts = {PELLET: (5, 3), POWER_PELLET: (3, 5)}[pellet]
    return tuple((parts[0] * a + parts[1] * b) // sum(parts) for a, b in zip(colour, PELLET_COLOURS[pellet]))


def pellet_core(tile_px: int) -> slice:
    """The two rows (or columns) in the middle of a tile where its pellet is always to be seen."""
    return slice(tile_px // 2 - 1, tile_px // 2 + 1)


def phase(x: int, y: int) -> int:
    """Which of two pictures the player has here; a function of the place alone."""
    return (x % TICKS + y % TICKS) % 2


def _letters(art: str) -> np.ndarray:
    return np.array([list(row) for row in art.split()])


def _sprite(letters: np.ndarray, colours: dict[str, tuple[int, int, int]]) -> Sprite:
    rgb = np.zeros((*letters.shape, 3), np.uint8)
    for letter, colour in colours.items():
        rgb[letters == letter] = colour
    rgb.setflags(write=False)
    return Sprite(rgb, (letters != '.')[..., None])
