"""Players of the maze game that make training data: each takes a state and gives an action.

All are deterministic by their seed (PCG64) and see the state only, so a recording is reproducible.
"""

from collections import deque
from collections.abc import Callable

import numpy as np

from motionlab.codecs.frame_batch import ACTION_NAMES, NO_ACTION
from motionlab.datasets.maze_game.maze import OPPOSITE, STEPS, TILES, maze_of
from motionlab.datasets.maze_game.state import TICKS, MazeState
from motionlab.utils import ConfigError

Policy = Callable[[MazeState], int]

_DANGER = 2  # tiles around a ghost that a careful player keeps out of


class RandomHold:
    """Hold a random action (no action among them) for a random number of steps, then draw again.

    Args:
        seed: Of the draws.
        max_steps: The longest hold; every length from 1 is equally likely.
    """

    def __init__(self, seed: int, max_steps: int = 3 * TICKS):
        if max_steps < 1:
            raise ConfigError(f'max_steps: found {max_steps}, expected at least 1.')
        self._rng, self._max_steps = _generator(seed), max_steps
        self._action, self._left = NO_ACTION, 0

    def __call__(self, state: MazeState) -> int:
        if not self._left:
            self._action = int(self._rng.integers(len(ACTION_NAMES)))
            self._left = int(self._rng.integers(1, self._max_steps + 1))
        self._left -= 1
        return self._action


def greedy_pellets(state: MazeState) -> int:
    """Go the shortest way to a pellet (to a ghost while they are frightened), keeping clear of dangerous ghosts."""
    player = state.player
    danger = set() if state.fright else _around(state)
    if not player.at_centre:
        dx, dy = STEPS[player.facing]
        ahead = (player.y // TICKS + (dy > 0)) * TILES + player.x // TICKS + (dx > 0)
        return OPPOSITE[player.facing] if ahead in danger else player.facing
    prey = {ghost.tile for ghost in state.ghosts} if state.fright else set()
    way = _search(state, prey, danger)
    return _flee(state) if way is None else way


class Mixture:
    """Spells of 8 to 64 steps by a careful player, one at random, a restless or an idle one; now and then any action.

    The careful ones get about. What the newest action does is learnt from the restless ones: players who mean to get
    somewhere leave their way in 9 % of their steps, and mostly where the past tells it.

    Args:
        seed: Of the draws.
    """

    def __init__(self, seed: int):
        self._rng = _generator(seed)
        self._random = RandomHold(int(self._rng.integers(2**32)))
        restless = RandomHold(int(self._rng.integers(2**32)), 2)
        self._players: tuple[Policy, ...] = (greedy_pellets, greedy_pellets, self._random, restless, restless, _idle)
        self._player, self._left = greedy_pellets, 0

    def __call__(self, state: MazeState) -> int:
        if not self._left:
            self._player = self._players[self._rng.integers(len(self._players))]
            self._left = int(self._rng.integers(8, 65)) // (4 if self._player is _idle else 1)
        self._left -= 1
        action = self._player(state)
        return action if self._rng.integers(20) else int(self._rng.integers(len(ACTION_NAMES)))


POLICIES = {'random_hold': RandomHold, 'greedy_pellets': lambda seed: greedy_pellets, 'mixture': Mixture}


def make_policy(name: str, seed: int) -> Policy:
    """A player by name, fresh for an episode.

    Raises:
        ConfigError: no such policy.
    """
    if name not in POLICIES:
        raise ConfigError(f'policy: found {name!r}, expected one of {sorted(POLICIES)}.')
    return POLICIES[name](seed)


def _idle(state: MazeState) -> int:
    return NO_ACTION


def _generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, 0x706F6C69))))


def _around(state: MazeState) -> set[int]:
    """Tiles within reach of a ghost."""
    exits = maze_of(state.walls).exits
    reached = set().union(*(ghost.tiles for ghost in state.ghosts))
    for _ in range(_DANGER):
        reached |= {tile + STEPS[d][1] * TILES + STEPS[d][0] for tile in reached for d in exits[tile]}
    return reached


def _search(state: MazeState, prey: set[int], danger: set[int]) -> int | None:
    """First direction of a shortest way to a pellet or prey; None when every way is dangerous."""
    exits, start = maze_of(state.walls).exits, state.player.tile
    queue, seen = deque([(start, NO_ACTION)]), {start}
    while queue:
        tile, first = queue.popleft()
        if tile != start and (tile in prey or (not prey and state.pellets[tile])):
            return first
        for direction in exits[tile]:
            near = tile + STEPS[direction][1] * TILES + STEPS[direction][0]
            if near not in seen and near not in danger:
                seen.add(near)
                queue.append((near, direction if tile == start else first))
    return None


def _flee(state: MazeState) -> int:
    """The exit farthest from the nearest ghost."""
    def distance(direction: int) -> int:
        x, y = (state.player.x + TICKS * STEPS[direction][0], state.player.y + TICKS * STEPS[direction][1])
        return min((abs(ghost.x - x) + abs(ghost.y - y) for ghost in state.ghosts), default=0)
    return max(maze_of(state.walls).exits[state.player.tile], key=distance)
