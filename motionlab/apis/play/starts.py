"""Where playing begins: real frames, of the maze game or of a recording of any game."""

from dataclasses import dataclass, replace

import numpy as np

from motionlab.codecs.frame_batch import ACTION_NAMES, NO_ACTION
from motionlab.datasets.frame_store import FrameStore
from motionlab.datasets.game_recording import replay_states
from motionlab.datasets.maze_game import MazeGame, MazeState
from motionlab.utils import ConfigError, DataError

_NAME, _FPS = 'MazeGame', 15.0


@dataclass(frozen=True)
class RealGame:
    """The maze game in one state; nothing changes it.

    Args:
        game: Its rules and its look.
        state: Where it is.
    """

    game: MazeGame
    state: MazeState

    @property
    def frame(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        return self.game.render(self.state)

    @property
    def over(self) -> bool:
        """Whether it stands still from now on."""
        return self.state.finished

    def after(self, action: int) -> 'RealGame':
        """One step later."""
        return replace(self, state=self.game.next_state(self.state, action))


@dataclass(frozen=True)
class PlayStart:
    """Real frames before the first one that a model makes.

    Args:
        frames: (n, H, W, 3) uint8 RGB, oldest first.
        actions: (n - 1,), taken on seeing all of them but the newest.
        real: The game at the newest frame; None where it cannot be played on.
    """

    frames: np.ndarray
    actions: np.ndarray
    real: RealGame | None = None


class GameStarts:
    """The first frames of the maze game.

    Args:
        num_frames: n of every start; with more than one, the player goes straight on until then.
        tile_px: 4 for 64 x 64, 8 for 128 x 128 pixels.
        real: Play the game on beside the model.

    Attributes:
        action_names: Of the actions 0, 1, ...
        frame_size: Height and width, pixels.
        fps: Frames per second that the game is meant for.
        real: Whether starts come with the real game.
    """

    action_names, fps = ACTION_NAMES, _FPS

    def __init__(self, num_frames: int = 1, tile_px: int = 4, real: bool = True):
        self.num_frames, self.real, self._tile_px = num_frames, real, tile_px
        self.frame_size = MazeGame(tile_px).reset(0).shape[:2]

    def __call__(self, seed: int) -> PlayStart:
        """The game in the maze of ``seed``."""
        game = MazeGame(self._tile_px)  # A game of its own: starts are asked for by several threads at a time.
        game.reset(seed)
        reals = [RealGame(game, game.get_state())]
        while len(reals) < self.num_frames:
            reals.append(reals[-1].after(NO_ACTION))
        return PlayStart(np.stack([real.frame for real in reals]), np.full(len(reals) - 1, NO_ACTION),
                         reals[-1] if self.real else None)


class StoreStarts:
    """The first frames of recorded episodes.

    Args:
        store: With frames. Of a recording of the maze game the real game goes on beside the model.
        num_frames: n of every start.
        split: Whose episodes; ``all`` for every one.
        real: Play that game on.

    Attributes:
        action_names, frame_size, fps, real: As of :class:`GameStarts`.

    Raises:
        ConfigError: the store holds latents only.
        DataError: no such split, or no episode of it is long enough.
    """

    def __init__(self, store: FrameStore, num_frames: int = 1, split: str = 'all', real: bool = True):
        if store.frames is None:
            raise ConfigError(f'{store.path}: holds latents only; playing begins with frames.')
        episodes = store.split_episodes(split)
        self._episodes = episodes[store.lengths[episodes] >= num_frames]
        if not len(self._episodes):
            raise DataError(store.path, f'episodes of {split}', 'none that is long enough', f'{num_frames} frames')
        self._store, self.num_frames = store, num_frames
        self.action_names, self.frame_size = tuple(store.meta['action_names']), store.frame_size
        self.fps, self.real = float(store.meta['fps']), real and store.meta['env'].get('name') == _NAME

    def __call__(self, seed: int) -> PlayStart:
        """Episode number ``seed`` of the split, from the first one again after the last."""
        episode = int(self._episodes[seed % len(self._episodes)])
        rows = self._store.episode(episode)
        frames = np.array(self._store.frames[rows][:self.num_frames])
        actions = self._store.actions[rows][:self.num_frames - 1].astype(np.int64)
        return PlayStart(frames, actions, self._real(episode, frames[-1]) if self.real else None)

    def _real(self, episode: int, newest: np.ndarray) -> RealGame:
        """The game behind the newest frame of a start."""
        made_by, config = self._store.meta['episodes'][episode], self._store.meta['env']['config']
        real = RealGame(MazeGame(maze_seed=made_by['maze_seed'], **config),
                        replay_states(self._store, episode)[self.num_frames - 1])
        if not np.array_equal(real.frame, newest):
            raise DataError(self._store.path, f'episode {episode}', 'frames that its seeds and actions do not give',
                            'those of the maze game', 'Record it again, or play with --no-oracle.')
        return real
