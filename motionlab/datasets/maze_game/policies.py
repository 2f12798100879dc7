"""Players of the maze game that make training data: each takes a state and gives an action.

All are deterministic by their seed (PCG64) and see the state only, so a recording is reproducible.
"""

from collections import deque
from collections.abc import Callable

import numpy as np

from motionlab.codecs.frame_batch import ACTION_NAMES, NO_ACTION
from motionlab.datasets.maze_game.maze import OPPOSITE, STEPS, TILES, maze_of
from motionlab.datasets.maze_game.rules import next_state
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


class Restless:
    """Turn back in three steps of ten, take another way at seven crossings of ten; else press what changes nothing.

    A third of its actions lead elsewhere than no action, and the past does not tell which: what keys do is learnt from
    it.

    Args:
        seed: Of the draws.
    """

    def __init__(self, seed: int):
        self._rng = _generator(seed)

    def __call__(self, state: MazeState) -> int:
        ahead = next_state(state, NO_ACTION).player
        back = OPPOSITE[state.player.facing]
        turns = [key for key in range(len(STEPS)) if next_state(state, key).player != ahead]
        aside = [key for key in turns if key != back]
        if aside and self._rng.integers(10) < 7:
            return aside[self._rng.integers(len(aside))]
        if back in turns and self._rng.integers(10) < 3:
            return back
        idle = [key for key in range(len(ACTION_NAMES)) if key not in turns]
        return idle[self._rng.integers(len(idle))]


class Mixture:
    """Spells of 8 to 64 steps, one of three by a careful player, the others, and one step in five, by a restless one.

    The careful one gets about. Its own turns, 9 % of its steps, teach little of what keys do: the past mostly tells
    them.

    Args:
        seed: Of the draws.
    """

    def __init__(self, seed: int):
        self._rng = _generator(seed)
        self._restless = Restless(int(self._rng.integers(2**32)))
        self._careful, self._left = True, 0

    def __call__(self, state: MazeState) -> int:
        if not self._left:
            self._careful = not self._rng.integers(3)
            self._left = int(self._rng.integers(8, 65))
        self._left -= 1
        return greedy_pellets(state) if self._careful and self._rng.integers(5) else self._restless(state)


POLICIES = {'random_hold': RandomHold, 'restless': Restless, 'greedy_pellets': lambda seed: greedy_pellets,
            'mixture': Mixture}


def make_policy(name: str, seed: int) -> Policy:
    """A player by name, fresh for an episode.

    Raises:
        ConfigError: no such policy.
    """
    if name not in POLICIES:
        raise ConfigError(f'policy: found {name!r}, expected one of {sorted(POLICIES)}.')
    return POLICIES[name](seed)


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
