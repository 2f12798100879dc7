"""The maze game behind the interface of Gymnasium. Importing this module needs the extra ``game``."""

from typing import Any

import numpy as np

from motionlab.codecs.frame_batch import ACTION_NAMES
from motionlab.datasets.maze_game.drawing import frame_size
from motionlab.datasets.maze_game.game import MazeGame
from motionlab.utils import ConfigError, need_package

gymnasium = need_package('gymnasium', 'game')


class MazeGameEnv(gymnasium.Env):
    """Observations are frames, (16 tile_px, 16 tile_px, 3) uint8 RGB; actions 0 left, 1 right, 2 up, 3 down, 4 none.

    Args:
        render_mode: ``rgb_array`` or None.
        tile_px, maze_seed, num_ghosts, max_ticks, random_ghosts: See :class:`MazeGame`.

    Raises:
        ConfigError: an argument out of range, or Gymnasium missing.
    """

    metadata = {'render_modes': ['rgb_array'], 'render_fps': 15}

    def __init__(self, render_mode: str | None = None, tile_px: int = 4, maze_seed: int | None = None,
                 num_ghosts: int = 2, max_ticks: int = 1000, random_ghosts: float = 0.0):
        if render_mode not in (None, *self.metadata['render_modes']):
            raise ConfigError(f"render_mode: found {render_mode!r}, expected 'rgb_array' or None.")
        self.game = MazeGame(tile_px, maze_seed, num_ghosts, max_ticks, random_ghosts)
        self.render_mode = render_mode
        size = frame_size(tile_px)
        self.observation_space = gymnasium.spaces.Box(0, 255, (size, size, 3), np.uint8)
        self.action_space = gymnasium.spaces.Discrete(len(ACTION_NAMES))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Start an episode: seed s gives the episode of ``MazeGame.reset(s)``, no seed the next one of the sequence."""
        super().reset(seed=seed)
        return self.game.reset(int(self.np_random.integers(2**32)) if seed is None else seed), self.game.info()

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        return self.game.step(int(action))

    def render(self) -> np.ndarray | None:
        """The frame of the last step, in mode ``rgb_array``."""
        return self.game.render(self.game.get_state()) if self.render_mode else None
