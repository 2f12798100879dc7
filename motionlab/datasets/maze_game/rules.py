"""The rules of the maze game: one pure function from (state, action) to the next state.

Learnable by looking: everything that matters is in the picture. The player and the ghosts move a quarter of a tile per
step. An action is read at tile centres only, plus turning back at any step; nothing is remembered for later. Facing is
drawn. Ghosts are greedy with a fixed order of ties, turn back only when there is no other way, and never enter a tile
that another ghost touches, so no ghost ever hides another. The timer of power pellets and the lives are drawn.
"""

from dataclasses import replace

import numpy as np

from motionlab.codecs.frame_batch import ACTION_NAMES, DOWN, LEFT, RIGHT, UP
from motionlab.datasets.maze_game.maze import OPPOSITE, STEPS, TILES, make_walls, maze_of
from motionlab.datasets.maze_game.state import MAX_GHOSTS, PELLET, POWER_PELLET, TICKS, MazeState, Mover, touch
from motionlab.utils import ConfigError

PLAYER_HOME = Mover(7 * TICKS, 11 * TICKS, LEFT)
GHOST_HOMES = tuple(Mover(x * TICKS, y * TICKS, UP) for x, y in ((5, 5), (9, 5), (5, 3), (9, 3)))[:MAX_GHOSTS]
FRIGHT_STEPS = 32
LIVES = 3
CERTAIN = 1 << 16  # probabilities of random ghosts are integers out of this

_CORNERS = tuple(y * TILES + x for y in (1, TILES - 2) for x in (1, TILES - 2))
_HOME_CORNERS = ((1, 1), (TILES - 2, 1), (1, TILES - 2), (TILES - 2, TILES - 2))
_TIES = (UP, LEFT, DOWN, RIGHT)
_PELLET_SCORE = (0, 10, 50)
_GHOST_SCORE = 200
_AHEAD = 4      # tiles
_SHY = 6 ** 2   # squared tiles
_SAFE = 3       # tiles between the player and where an eaten ghost comes back


def start_state(maze_seed: int, num_ghosts: int, seed: int = 0) -> MazeState:
    """The first state of an episode."""
    maze = maze_of(make_walls(maze_seed))
    pellets = bytearray(PELLET * (not wall) for wall in maze.walls)
    for tile in _CORNERS:
        pellets[tile] = POWER_PELLET
    pellets[PLAYER_HOME.tile] = 0
    return MazeState(maze.walls, bytes(pellets), PLAYER_HOME, GHOST_HOMES[:num_ghosts], lives=LIVES, seed=seed)


def next_state(state: MazeState, action: int, random_ghosts: int = 0) -> MazeState:
    """What the world is one step later.

    Args:
        state: Now. A finished game stands still.
        action: 0 left, 1 right, 2 up, 3 down, 4 none: go on. Read at tile centres; turning back is read always.
        random_ghosts: Of 65536, how often a ghost at a tile centre takes a random way; drawn from (seed, tick).

    Raises:
        ConfigError: the action is not one of 0 to 4.
    """
    if action not in range(len(ACTION_NAMES)):
        raise ConfigError(f'action: found {action}, expected one of 0 to {len(ACTION_NAMES) - 1} '
                          f'({", ".join(ACTION_NAMES)}).')
    if state.finished:
        return state
    if state.caught:
        return replace(state, player=PLAYER_HOME, ghosts=GHOST_HOMES[:len(state.ghosts)], fright=0,
                       lives=state.lives - 1, tick=state.tick + 1)
    player = _move_player(state, action)
    pellets, score, power = _eat(state.pellets, player)
    fright = FRIGHT_STEPS if power else max(state.fright - 1, 0)
    ghosts = _move_ghosts(state, player, random_ghosts)
    if fright:
        for number, ghost in enumerate(ghosts):
            if touch(player, ghost):
                ghosts[number] = _send_home(state.walls, number, ghosts, player)
                score += _GHOST_SCORE
    return MazeState(state.walls, pellets, player, tuple(ghosts), fright, state.lives, state.score + score,
                     state.tick + 1, state.seed)


def _move_player(state: MazeState, action: int) -> Mover:
    x, y, facing = state.player
    if state.player.at_centre:
        exits = maze_of(state.walls).exits[state.player.tile]
        if action in exits:
            facing = action
        elif facing not in exits:
            return state.player
    elif action == OPPOSITE[facing]:
        facing = action
    dx, dy = STEPS[facing]
    return Mover(x + dx, y + dy, facing)


def _eat(pellets: bytes, player: Mover) -> tuple[bytes, int, bool]:
    """A pellet is eaten as soon as the player would cover it, so none is ever hidden: (pellets, score, power)."""
    x, y, _ = player
    # Both tiles when it stands half-way.
    tiles = {(y + 1) // TICKS * TILES + (x + 1) // TICKS, (y + 2) // TICKS * TILES + (x + 2) // TICKS}
    eaten = [tile for tile in tiles if pellets[tile]]
    if not eaten:
        return pellets, 0, False
    left = bytearray(pellets)
    for tile in eaten:
        left[tile] = 0
    kinds = [pellets[tile] for tile in eaten]
    return bytes(left), sum(_PELLET_SCORE[kind] for kind in kinds), POWER_PELLET in kinds


def _move_ghosts(state: MazeState, player: Mover, random_ghosts: int) -> list[Mover]:
    ghosts = list(state.ghosts)
    if state.fright % 2:  # Frightened ghosts are half as fast; the bar shows when they move.
        return ghosts
    draws = _draws(state) if random_ghosts else None
    for number, ghost in enumerate(ghosts):
        facing = ghost.facing
        if ghost.at_centre:
            others = set().union(*(other.tiles for other in ghosts[:number] + ghosts[number + 1:]))
            facing = _choose(state, number, others, player, ghosts, draws, random_ghosts)
            if facing is None:
                continue
        dx, dy = STEPS[facing]
        ghosts[number] = Mover(ghost.x + dx, ghost.y + dy, facing)
    return ghosts


def _choose(state: MazeState, number: int, taken: set[int], player: Mover, ghosts: list[Mover],
            draws: np.ndarray | None, random_ghosts: int) -> int | None:
    """The way a ghost at a tile centre takes; None when it is shut in by others."""
    ghost = ghosts[number]
    exits = maze_of(state.walls).exits[ghost.tile]
    free = [d for d in _TIES if d in exits and ghost.tile + STEPS[d][1] * TILES + STEPS[d][0] not in taken]
    ways = [d for d in free if d != OPPOSITE[ghost.facing]] or free
    if len(ways) < 2:
        return ways[0] if ways else None
    if draws is not None and draws[number, 0] < random_ghosts:
        return ways[draws[number, 1] % len(ways)]
    column, row = ghost.x // TICKS, ghost.y // TICKS
    aim_x, aim_y = _tile(player) if state.fright else _aim(number, player, ghosts)
    sign = -1 if state.fright else 1
    return min(ways, key=lambda d: sign * ((column + STEPS[d][0] - aim_x) ** 2 + (row + STEPS[d][1] - aim_y) ** 2))


def _aim(number: int, player: Mover, ghosts: list[Mover]) -> tuple[int, int]:
    """The tile ghost ``number`` wants to reach: the player; ahead of it; the player from afar; opposite ghost 0."""
    column, row = _tile(player)
    if number == 1:
        dx, dy = STEPS[player.facing]
        return column + _AHEAD * dx, row + _AHEAD * dy
    if number == 2:
        x, y = _tile(ghosts[number])
        return (column, row) if (x - column) ** 2 + (y - row) ** 2 > _SHY else _HOME_CORNERS[number]
    if number == 3:
        x, y = _tile(ghosts[0])
        return 2 * column - x, 2 * row - y
    return column, row


def _tile(mover: Mover) -> tuple[int, int]:
    return (mover.x + 2) // TICKS, (mover.y + 2) // TICKS


def _send_home(walls: bytes, number: int, ghosts: list[Mover], player: Mover) -> Mover:
    """Where an eaten ghost comes back: its home, or the first tile that is free and not beside the player."""
    taken = set().union(*(ghost.tiles for other, ghost in enumerate(ghosts) if other != number))
    homes = [GHOST_HOMES[number], *GHOST_HOMES]
    floor = (Mover(tile % TILES * TICKS, tile // TILES * TICKS, UP) for tile in maze_of(walls).floor)
    return next(home for home in (*homes, *floor) if home.tile not in taken
                and max(abs(home.x - player.x), abs(home.y - player.y)) >= _SAFE * TICKS)


def _draws(state: MazeState) -> np.ndarray:
    """(ghosts, 2) integers below 65536 that belong to this step."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((state.seed, state.tick))))
    return rng.integers(CERTAIN, size=(len(state.ghosts), 2))
