"""One game that is played: in a model, and beside it the real one under the same actions."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch

from motionlab.apis.play.starts import GameStarts, StoreStarts
from motionlab.codecs.frame_source import check_frame_source
from motionlab.models.frame_predictor import FramePredictor
from motionlab.models.frame_rollout import FrameOptions, FrameRollout
from motionlab.utils import DataError
from motionlab.visualization.frame_drawing import enlarge

MOST_RECORDED = 2000  # Pictures; kept as PNGs, a few kilobytes each.
_GAP_PX = 8           # Between the two games of a recorded picture.


@dataclass(frozen=True)
class PlayView:
    """What is shown after a step.

    Args:
        step: Frames that were made so far; 0 after a reset.
        model_png: The newest frame of the model. After a reset the real frame as its codec sees it.
        real_png: The same of the real game; None without.
        over: Whether the real game stands still.
        model_ms: Milliseconds that the model's frame took: network, decoding and PNG.
        recorded: Pictures recorded since recording began.
        recording: Whether it still goes on.
    """

    step: int
    model_png: bytes
    real_png: bytes | None
    over: bool
    model_ms: float
    recorded: int = 0
    recording: bool = False


class FramePlayer:
    """What all sessions share. The model runs in one thread, however many ask: its threads are not to fight.

    Args:
        model: A :class:`motionlab.models.FramePredictor`; put into evaluation mode.
        starts: Where games begin, by seed: :class:`GameStarts` or :class:`StoreStarts`.
        options: Solver steps, guidance ... The seed is that of the game.

    Raises:
        ConfigError: the game has more actions than the model knows.
        DataError: its frames have a size that the codec cannot divide.
    """

    def __init__(self, model: FramePredictor, starts: GameStarts | StoreStarts, options: FrameOptions | None = None):
        check_frame_source(model.codec, model.num_history, model.backbone.num_actions, dict(
            dataset_name='game', action_names=starts.action_names, frame_size=starts.frame_size))
        self.model, self.starts, self.options = model.eval(), starts, options or FrameOptions()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix='model')

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def run(self, function: Callable, *args: object) -> object:
        """Call a function in the model's thread, without gradients, and wait for what it gives."""
        return self._thread.submit(_without_gradients, function, *args).result()

    def close(self) -> None:
        """End the model's thread after what it is doing."""
        self._thread.shutdown()


class PlaySession:
    """One game. Threads may share it: each call sees a whole state.

    Args:
        player: The model and where games begin.
        seed: Of the game, see :meth:`reset`.
    """

    def __init__(self, player: FramePlayer, seed: int = 0):
        self._player, self._lock = player, threading.Lock()
        self._recorded: list[tuple[bytes, bytes | None]] = []
        self._recording = False
        self.reset(seed)

    @property
    def view(self) -> PlayView:
        """What is shown now."""
        with self._lock:
            return self._view

    def reset(self, seed: int) -> PlayView:
        """Begin anew. The same seed and actions give the same frames. What is being recorded goes on.

        Args:
            seed: Of start and noise, 0 to 2^31 - 1.

        Raises:
            ConfigError: no such seed.
        """
        options = replace(self._player.options, seed=seed)
        with self._lock:
            start = self._player.starts(seed)
            begun = time.perf_counter()
            self._rollout = FrameRollout(self._player.model, options)
            self._state, model_png = self._player.run(self._begin, start.frames, start.actions)
            self._real, self._action = start.real, None
            return self._show(0, model_png, time.perf_counter() - begun)

    def step(self, action: int, number: int | None = None) -> PlayView:
        """Go on by one frame.

        Args:
            action: Taken on seeing what is shown.
            number: Of the step to be made, one more than that of the view. Asked for once more with the same action,
                as somebody does who never got the answer, the last step is not made again.

        Raises:
            DataError: the step is neither the next nor the last one, or no such action. Nothing changes.
        """
        with self._lock:
            names, shown = self._player.starts.action_names, self._view.step
            if not 0 <= action < len(names):
                raise DataError('step', 'action', action, f'0 to {len(names) - 1}')
            if number is not None and number == shown and action == self._action:
                return self._view
            if number is not None and number != shown + 1:
                raise DataError('step', 'number', number, f'{shown + 1}: the game is at step {shown}')
            begun = time.perf_counter()
            self._state, model_png = self._player.run(self._advance, self._state, action)
            seconds = time.perf_counter() - begun
            self._action, self._real = action, self._real and self._real.after(action)
            return self._show(shown + 1, model_png, seconds)

    def record(self, on: bool) -> PlayView:
        """Begin a new recording with what is shown now, or end the one that is going on."""
        with self._lock:
            if on:
                self._recorded.clear()
            self._recording = on
            return self._show(self._view.step, self._view.model_png, self._view.model_ms / 1000, again=not on)

    def recorded_frames(self) -> 'RecordedFrames':
        """What was recorded so far."""
        with self._lock:
            return RecordedFrames(list(self._recorded))

    def _begin(self, frames: np.ndarray, actions: np.ndarray) -> tuple:
        device = self._player.device
        latents = self._rollout.encode(torch.from_numpy(frames).to(device))                # (n, C, h, w)
        state = self._rollout.begin(latents[None], torch.from_numpy(actions).to(device)[None])
        return state, self._picture(latents[-1])

    def _advance(self, state, action: int) -> tuple:
        latent, state = self._rollout.step(state, action)                                  # (1, C, h, w)
        return state, self._picture(latent[0])

    def _picture(self, latent: torch.Tensor) -> bytes:
        return write_png(self._rollout.decode(latent).cpu().numpy())

    def _show(self, step: int, model_png: bytes, seconds: float, again: bool = False) -> PlayView:
        real_png = None if self._real is None else write_png(self._real.frame)
        if self._recording and not again:
            self._recorded.append((model_png, real_png))
            self._recording = len(self._recorded) < MOST_RECORDED
        self._view = PlayView(step, model_png, real_png, self._real is not None and self._real.over, 1000 * seconds,
                              len(self._recorded), self._recording)
        return self._view


class RecordedFrames(Sequence):
    """Pictures (H, W, 3) uint8 RGB, enlarged, made when they are looked at: the model's left, the real game's right.

    Args:
        pairs: PNGs of both, None for no real game.
    """

    def __init__(self, pairs: list[tuple[bytes, bytes | None]]):
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> np.ndarray:
        return _side_by_side([_read_png(png) for png in self._pairs[index] if png is not None])


def write_png(frame: np.ndarray) -> bytes:
    """(H, W, 3) uint8 RGB -> the bytes of a PNG file."""
    return cv2.imencode('.png', frame[..., ::-1])[1].tobytes()


def _read_png(png: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def _side_by_side(frames: list[np.ndarray]) -> np.ndarray:
    frames = [enlarge(frame) for frame in frames]
    gap = np.full((len(frames[0]), _GAP_PX, 3), 128, np.uint8)
    return np.concatenate([part for frame in frames for part in (gap, frame)][1:], axis=1)


@torch.inference_mode()
def _without_gradients(function: Callable, *args: object) -> object:
    return function(*args)
