"""Recordings of Atari games from the emulator: real frames, made anew by everybody who wants them.

The extra ``atari`` installs the emulator (GPL-2.0) with its games. Neither the games nor recordings of them are ours to
hand on.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from motionlab.codecs.frame_batch import DOWN, LEFT, NO_ACTION, RIGHT, UP
from motionlab.datasets.frame_store import FrameStore
from motionlab.datasets.frame_store_writer import FrameStoreWriter, finished_store
from motionlab.datasets.game_recording import cut_piece, record, split_frames
from motionlab.datasets.maze_game.policies import RandomHold
from motionlab.utils import ConfigError, need_package

FRAMES_PER_STEP = 4  # of the 60 per second that the console draws
_FPS = 60 / FRAMES_PER_STEP
_NAMES = ('NOOP', 'UP', 'RIGHT', 'LEFT', 'DOWN')  # The first actions of both games, by their number there.
_ACTIONS = {NO_ACTION: 0, UP: 1, RIGHT: 2, LEFT: 3, DOWN: 4}
# While the introduction plays input does nothing: the first action with a later effect is the one after these.
INTRO_STEPS = {'Pacman': 29, 'MsPacman': 66}
VERSION = 1


@dataclass(frozen=True)
class AtariRecording:
    """What is recorded; the same values and versions give the same bytes.

    Args:
        game: ``Pacman`` (250 x 160 pixels) or ``MsPacman`` (210 x 160).
        num_frames: Of train, val and test_seen together.
        size: Side in pixels of the frames, by area averaging; None keeps the screen.
        seed: Of the player.
        max_steps: Longest episode.
        hold: Longest time in steps that the player holds an action.
    """

    game: str = 'Pacman'
    num_frames: int = 20_000
    size: int | None = 64
    seed: int = 0
    max_steps: int = 1000
    hold: int = 12

    def __post_init__(self):
        if self.game not in INTRO_STEPS:
            raise ConfigError(f'game {self.game!r}: expected one of {sorted(INTRO_STEPS)}.')
        if min(self.num_frames, self.max_steps, self.hold) < 1 or self.seed < 0 \
                or (self.size is not None and self.size < 1):
            raise ConfigError(f'{self}: expected positive numbers.')


class AtariGame:
    """The emulator with nothing between an action and the frame it causes.

    - No sticky actions: by default the emulator repeats the last action in a quarter of the steps, whatever is pressed.
    - A step is four console frames; its picture is the maximum of the last two, since sprites flicker.
    - :meth:`reset` plays the introduction, which ignores all input.

    Args:
        game: ``Pacman`` or ``MsPacman``.
        size: Side in pixels of frames; None for the screen.

    Raises:
        ConfigError: gymnasium or ale-py is not installed, or the actions are not those that are expected.
    """

    def __init__(self, game: str = 'Pacman', size: int | None = 64):
        gymnasium = need_package('gymnasium', 'atari')
        emulator = need_package('ale_py', 'atari')
        gymnasium.register_envs(emulator)
        self.name, self.version = f'ALE/{game}-v5', emulator.__version__
        self._env = gymnasium.make(self.name, frameskip=1, repeat_action_probability=0.0).unwrapped
        names = tuple(self._env.get_action_meanings()[:len(_NAMES)])
        if names != _NAMES:
            raise ConfigError(f'{self.name}: its first actions are {names}, expected {_NAMES}.')
        self.intro_steps, self._size = INTRO_STEPS[game], size

    def reset(self) -> np.ndarray:
        """The first frame (H, W, 3) uint8 on which input counts. Always the same: the emulator is deterministic."""
        self._env.reset(seed=0)
        for _ in range(self.intro_steps):
            frame, _, _ = self.step(NO_ACTION)
        return frame

    def step(self, action: int) -> tuple[np.ndarray, bool, bool]:
        """Frame, terminated, truncated after one of our actions."""
        pictures, terminated, truncated = [], False, False
        for _ in range(FRAMES_PER_STEP):
            picture, _, terminated, truncated, _ = self._env.step(_ACTIONS[action])
            pictures.append(picture)
            if terminated or truncated:
                break
        frame = np.maximum(pictures[-1], pictures[-2]) if len(pictures) > 1 else pictures[0]
        if self._size is not None:
            frame = cv2.resize(frame, (self._size, self._size), interpolation=cv2.INTER_AREA)
        return frame, terminated, truncated

    def close(self) -> None:
        """Let go of the emulator."""
        self._env.close()


def record_atari(folder: str | Path, recording: AtariRecording) -> FrameStore:
    """Play an Atari game into a store, keys held at random. Goes on after an interruption, opens what is complete.

    Raises:
        ConfigError: the extra is not installed, something else is at ``folder``, or an option is out of range.
    """
    maker = {'recording': 'atari', 'version': VERSION, **asdict(recording)}
    if (store := finished_store(folder, maker)) is not None:
        return store
    game = AtariGame(recording.game, recording.size)
    height, width, _ = game.reset().shape

    def play(number: int, split: str) -> tuple[Iterator, dict]:
        seed = 1_000_000 * recording.seed + number
        made_by = {'policy': 'random_hold', 'policy_seed': seed, 'skipped': []}
        steps = _play(game, seed, recording)
        return (steps if split == 'train' else cut_piece(steps, made_by)), made_by

    config = {'frames_per_step': FRAMES_PER_STEP, 'repeat_action_probability': 0.0, 'intro_steps': game.intro_steps}
    with FrameStoreWriter(folder, height, width, fps=_FPS, maker=maker,
                          env={'name': game.name, 'version': game.version, 'config': config}) as writer:
        store = record(writer, play, split_frames(recording.num_frames, unseen=False))
    game.close()
    return store


def _play(game: AtariGame, seed: int, recording: AtariRecording) -> Iterator:
    yield game.reset()
    policy = RandomHold(seed, recording.hold)
    for step in range(recording.max_steps):
        action = policy(None)
        frame, terminated, truncated = game.step(action)
        last = truncated or step == recording.max_steps - 1
        yield action, frame, 'terminated' if terminated else 'truncated' if last else None
        if terminated or last:
            return
