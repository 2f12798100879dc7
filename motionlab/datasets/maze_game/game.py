"""The maze game as one plays it."""

import numpy as np

from motionlab.datasets.maze_game.drawing import pixel_of, render
from motionlab.datasets.maze_game.rules import CERTAIN, next_state, start_state
from motionlab.datasets.maze_game.sprites import check_tile_px
from motionlab.datasets.maze_game.state import MAX_GHOSTS, TICKS, MazeState
from motionlab.utils import ConfigError


class MazeGame:
    """Eat all pellets, keep clear of the ghosts, chase them after a power pellet. Deterministic, numpy only.

    The picture after a step is a function of the picture before it and of the action, so the game itself is the exact
    oracle of a model of it: ``game.render(game.next_state(state, action))``.

    Args:
        tile_px: 4 for pictures of 64 x 64, 8 for 128 x 128.
        maze_seed: The maze of every episode; None takes one from the seed of the reset.
        num_ghosts: 0 to 4.
        max_ticks: Steps after which an episode is truncated.
        random_ghosts: How often (0 to 1) a ghost that has a choice takes a random way; above 0 the next picture is no
            longer a function of what is seen.

    Raises:
        ConfigError: an argument out of range.
    """

    def __init__(self, tile_px: int = 4, maze_seed: int | None = None, num_ghosts: int = 2, max_ticks: int = 1000,
                 random_ghosts: float = 0.0):
        if not 0 <= num_ghosts <= MAX_GHOSTS:
            raise ConfigError(f'num_ghosts: found {num_ghosts}, expected 0 to {MAX_GHOSTS}.')
        if maze_seed is not None and maze_seed < 0:
            raise ConfigError(f'maze_seed: found {maze_seed}, expected an integer that is not negative, or None.')
        if max_ticks < 1:
            raise ConfigError(f'max_ticks: found {max_ticks}, expected at least 1.')
        if not 0 <= random_ghosts <= 1:
            raise ConfigError(f'random_ghosts: found {random_ghosts}, expected 0 to 1.')
        self.tile_px = check_tile_px(tile_px)
        self.maze_seed, self.num_ghosts, self.max_ticks = maze_seed, num_ghosts, max_ticks
        self._random_ghosts = round(random_ghosts * CERTAIN)
        self._state: MazeState | None = None

    def reset(self, seed: int = 0) -> np.ndarray:
        """Start an episode.

        Args:
            seed: Not negative; of the maze, unless that is fixed, and of random ghosts.

        Returns:
            The first frame, (16 tile_px, 16 tile_px, 3) uint8 RGB.
        """
        if seed < 0:
            raise ConfigError(f'seed: found {seed}, expected an integer that is not negative.')
        maze_seed = seed if self.maze_seed is None else self.maze_seed
        self._state = start_state(maze_seed, self.num_ghosts, seed)
        return self.render(self._state)

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        """Play one step: a quarter of a tile.

        Returns:
            frame, reward (points gained), terminated (game over, or no pellet left), truncated (out of time), and
            :meth:`info`.

        Raises:
            ConfigError: no episode, or one that is over; an action that is not one of 0 to 4.
        """
        state = self.get_state()
        if state.finished or state.tick >= self.max_ticks:
            raise ConfigError('The episode is over: call reset().')
        self._state = self.next_state(state, action)
        reward = float(self._state.score - state.score)
        return self.render(self._state), reward, self._state.finished, self._state.tick >= self.max_ticks, self.info()

    def next_state(self, state: MazeState, action: int) -> MazeState:
        """The oracle: what follows a state. Pure; the game itself stays where it is."""
        return next_state(state, action, self._random_ghosts)

    def render(self, state: MazeState) -> np.ndarray:
        """The picture of a state."""
        return render(state, self.tile_px)

    def get_state(self) -> MazeState:
        """Where the game is; immutable, small, comparable."""
        if self._state is None:
            raise ConfigError('No episode yet: call reset().')
        return self._state

    def set_state(self, state: MazeState) -> np.ndarray:
        """Go on from a state; returns its frame."""
        self._state = state
        return self.render(state)

    def info(self) -> dict:
        """Where everything is: pixels are of a sprite's top left, tiles are fractional with the centre at integers."""
        state = self.get_state()
        movers = (state.player, *state.ghosts)
        pixels, tiles = [pixel_of(m, self.tile_px) for m in movers], [(m.x / TICKS, m.y / TICKS) for m in movers]
        return {'player_pixel': pixels[0], 'player_tile': tiles[0], 'facing': state.player.facing,
                'ghost_pixels': pixels[1:], 'ghost_tiles': tiles[1:], 'ghost_facings': [g.facing for g in state.ghosts],
                'pellets_left': state.pellets_left, 'score': state.score, 'lives': state.lives,
                'fright': state.fright, 'tick': state.tick, 'caught': state.caught}
