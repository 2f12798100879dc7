"""The state of the maze game: plain numbers and bytes, hashable, comparable, independent of the picture's size."""

from dataclasses import dataclass
from typing import NamedTuple

from motionlab.datasets.maze_game.maze import TILES

TICKS = 4  # of a tile: how many steps it takes to cross one
MAX_GHOSTS = 4
PELLET, POWER_PELLET = 1, 2


class Mover(NamedTuple):
    """The player or a ghost.

    Attributes:
        x, y: Quarter tiles from the board's top left to its own top left; multiples of 4 are tile centres.
        facing: 0 left, 1 right, 2 up, 3 down.
    """

    x: int
    y: int
    facing: int

    @property
    def at_centre(self) -> bool:
        """Whether it fills a tile, instead of being on its way between two."""
        return not (self.x % TICKS or self.y % TICKS)

    @property
    def tile(self) -> int:
        """Number of the tile it is (mostly) in, row by row."""
        return (self.y + 2) // TICKS * TILES + (self.x + 2) // TICKS

    @property
    def tiles(self) -> set[int]:
        """Numbers of the one or two tiles it touches."""
        return {self.y // TICKS * TILES + self.x // TICKS,
                (self.y + TICKS - 1) // TICKS * TILES + (self.x + TICKS - 1) // TICKS}


@dataclass(frozen=True, slots=True)
class MazeState:
    """Everything the next state depends on. What is not in the picture (``score``, ``tick``, ``seed``) has no effect
    on any later picture, unless ghosts are random.

    Attributes:
        walls: 225 bytes, see :class:`~motionlab.datasets.maze_game.maze.Maze`.
        pellets: 225 bytes: 0 none, 1 pellet, 2 power pellet.
        player: Where the player is.
        ghosts: Where ghost 0, 1, ... is; each has a colour and an aim of its own.
        fright: Steps left in which ghosts flee and can be eaten; the bar at the top.
        lives: Lives left including this one; the icons at the top.
        score: 10 a pellet, 50 a power pellet, 200 a ghost.
        tick: Steps since the reset.
        seed: Of random ghosts.
    """

    walls: bytes
    pellets: bytes
    player: Mover
    ghosts: tuple[Mover, ...]
    fright: int = 0
    lives: int = 3
    score: int = 0
    tick: int = 0
    seed: int = 0

    @property
    def pellets_left(self) -> int:
        return len(self.pellets) - self.pellets.count(0)

    @property
    def caught(self) -> bool:
        """Whether a ghost has the player; the next step costs a life and sends everybody back to the start."""
        return any(touch(self.player, ghost) for ghost in self.ghosts)

    @property
    def finished(self) -> bool:
        """Whether the game is over: no pellet left, or caught with the last life."""
        return not any(self.pellets) or (self.lives <= 1 and self.caught)


def touch(a: Mover, b: Mover) -> bool:
    """Whether two sprites overlap by more than a corner of theirs, which is empty."""
    dx, dy = abs(a.x - b.x), abs(a.y - b.y)
    return dx < TICKS and dy < TICKS and dx + dy < 2 * TICKS - 2
