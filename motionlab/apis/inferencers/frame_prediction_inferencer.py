"""Frames out of a model of a game: real frames and actions in, and files and pictures of the answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.image import imsave
from mmengine import Config
from torch import nn

from motionlab.apis.frame_prediction import check_store, predict_frames, window_seeds
from motionlab.apis.pretrained import model_for
from motionlab.datasets.frame_store import FrameStore, open_frame_store
from motionlab.evaluation.functional.frames import horizons, psnr
from motionlab.models.frame_predictor import FramePredictor
from motionlab.models.frame_rollout import FrameOptions
from motionlab.registry import INFERENCERS
from motionlab.utils import ConfigError, DataError

FORMATS = ('.npz', '.png', '.gif', '.mp4')
_FPS = 15.0


@dataclass(frozen=True)
class FrameSeed:
    """Real frames that playing begins with, and what the recording did after them.

    Args:
        frames: (n, H, W, 3) uint8, oldest first.
        actions: (n - 1,) taken on seeing all of them but the newest.
        next_actions: (N,) of the recording, from that on the newest frame on; empty without one.
        next_frames: (N, H, W, 3) uint8 that they led to.
        name: For captions.
        fps: Frames per second.
    """

    frames: np.ndarray
    actions: np.ndarray
    next_actions: np.ndarray
    next_frames: np.ndarray
    name: str = 'seed'
    fps: float = _FPS


@dataclass(frozen=True)
class PredictedFrames:
    """B sequences of one length.

    Args:
        frames: (B, N, H, W, 3) uint8 that the model made.
        actions: (B, N) that led to them.
        targets: (B, N, H, W, 3) uint8 of the recording under the same actions; None where there is none.
        history: (B, n, H, W, 3) uint8 before them.
        psnr: (B, N) dB against the targets; None without.
        names: B captions.
        fps: Frames per second.
    """

    frames: np.ndarray
    actions: np.ndarray
    targets: np.ndarray | None
    history: np.ndarray
    psnr: np.ndarray | None
    names: list[str]
    fps: float

    def __len__(self) -> int:
        return len(self.frames)

    def save(self, out_dir: str | Path, formats: Sequence[str] = FORMATS[:3], name: str = 'frames') -> list[Path]:
        """Write ``<name>.npz`` (all arrays), ``.png`` (a strip), ``.gif`` or ``.mp4`` (beside the recording).

        Raises:
            ConfigError: another format.
        """
        if unknown := [each for each in formats if each not in FORMATS]:
            raise ConfigError(f'PredictedFrames.save: found formats {unknown}, expected some of {FORMATS}.')
        from motionlab.visualization.frame_drawing import write_rollout_video
        folder = Path(out_dir)
        folder.mkdir(parents=True, exist_ok=True)
        files = [folder / f'{name}{suffix}' for suffix in FORMATS if suffix in formats]
        for path in files:
            if path.suffix == '.npz':
                extra = {} if self.targets is None else {'targets': self.targets, 'psnr': self.psnr}
                np.savez_compressed(path, frames=self.frames, actions=self.actions, history=self.history,
                                    fps=np.float64(self.fps), **extra)
            elif path.suffix == '.png':
                imsave(path, self.draw())
            else:
                write_rollout_video(path, self.frames, self.targets, self.actions, self.names, self.fps)
        return files

    def draw(self) -> np.ndarray:
        """A strip of frames 1, 2, 4, ... and the last, the recording's below the model's: (H, W, 3) uint8 RGB."""
        from motionlab.visualization.frame_drawing import draw_rollouts
        return draw_rollouts(self.frames, self.targets, horizons(self.frames.shape[1]), self.names)

    def draw_windows(self) -> np.ndarray:
        """A strip of the first frame that was made: history, prediction, target, difference; (H, W, 3) uint8 RGB.

        Raises:
            DataError: there is no recording to compare with.
        """
        if self.targets is None:
            raise DataError('PredictedFrames', 'targets', 'none', 'the recorded actions: only they have a target')
        from motionlab.visualization.frame_drawing import draw_windows
        captions = [f'{name}: {value:.1f} dB' for name, value in zip(self.names, self.psnr[:, 0])]
        return draw_windows(self.history, self.frames[:, 0], self.targets[:, 0], captions)


@INFERENCERS.register_module()
class FramePredictionInferencer:
    """What a model of a game is asked for: real frames and actions in, the frames after them out.

    Args:
        model: Config file or config with a ``model`` entry, or a :class:`motionlab.models.FramePredictor`.
        checkpoint: Weights for a config. None only for a model that is already built.
        device: Where to compute; None for where the model is (the CPU for a config).

    Raises:
        ConfigError: a config without checkpoint, a model with one, or no model of frames.
    """

    def __init__(self, model: 'str | Path | dict | Config | nn.Module', checkpoint: str | Path | None = None,
                 device: str | torch.device | None = None):
        self.model = model_for(type(self).__name__, model, checkpoint, device)
        if not isinstance(self.model, FramePredictor):
            raise ConfigError(f'FramePredictionInferencer: found a {type(self.model).__name__}, expected a '
                              'FramePredictor.')

    def seed_of_store(self, store: FrameStore | str | Path, row: int, num_frames: int = 0) -> FrameSeed:
        """Frames of a recording before ``row``, as many as the model looks back, and what follows from there.

        Args:
            store: A recorded game or its folder.
            row: Of the first frame that is to be made. Where the episode has begun less than S frames before, those
                that are there.
            num_frames: N of the recording that go along, fewer where the episode ends.

        Raises:
            ConfigError: the model is not made for the store.
            DataError: the row is the first of an episode, or not in the store.
        """
        store = store if isinstance(store, FrameStore) else open_frame_store(store)
        check_store(self.model, store)
        if not 0 < row < len(store) or row in store.offsets:
            raise DataError(store.path, 'row', row, f'1 to {len(store) - 1} and not the first frame of an episode')
        episode = int(store.episode_of(np.array([row]))[0])
        rows = store.episode(episode)
        first, last = max(rows.start, row - self.model.num_history), min(rows.stop, row + num_frames)
        actions = store.actions[first:last - 1].astype(np.int64)
        before = row - first - 1
        return FrameSeed(np.array(store.frames[first:row]), actions[:before], actions[before:],
                         np.array(store.frames[row:last]), f'episode {episode}, row {row}', float(store.meta['fps']))

    def predict(self, seeds: FrameSeed | Sequence[FrameSeed], actions: Sequence[int] | np.ndarray | None = None, *,
                options: FrameOptions | None = None, batch_size: int = 64, draw: bool = True,
                show_progress: bool = False) -> dict:
        """Frames after these, each from those made before it.

        Args:
            seeds: One or more, with as many frames.
            actions: (N,) for all or (B, N), from that on the newest real frame on; None for those of the recording, as
                many as every seed has.
            options: Solver steps, guidance, seed. Sequence i does not depend on those beside it.
            batch_size: Sequences at once.
            draw: Whether to draw a strip.
            show_progress: Show a progress bar.

        Returns:
            ``{'predictions': PredictedFrames, 'visualization': (H, W, 3) uint8 RGB or None}``.

        Raises:
            ConfigError: no seed, none of one shape, or no action.
            DataError: an unknown action, or what is made is not finite.
        """
        seeds = [seeds] if isinstance(seeds, FrameSeed) else list(seeds)
        if not seeds or len({seed.frames.shape for seed in seeds}) > 1:
            raise ConfigError(f'FramePredictionInferencer: found seeds of shapes '
                              f'{[seed.frames.shape for seed in seeds]}, expected at least one, all of one shape.')
        length = min(len(seed.next_actions) for seed in seeds)
        told = np.stack([seed.next_actions[:length] for seed in seeds]) if actions is None else \
            np.broadcast_to(np.atleast_2d(np.asarray(actions, np.int64)), (len(seeds), np.shape(actions)[-1]))
        if not told.shape[1]:
            raise ConfigError('FramePredictionInferencer: found no action, expected at least one for every seed.')
        options = options or FrameOptions()
        history = np.stack([seed.frames for seed in seeds])                                # (B, n, H, W, 3)
        before = np.stack([seed.actions for seed in seeds])                                # (B, n - 1)
        frames = predict_frames(self.model, history, np.concatenate([before, told], axis=1), options=options,
                                seeds=window_seeds(options.seed, range(len(seeds))), batch_size=batch_size,
                                show_progress='Predicting' if show_progress else '')
        targets = scores = None
        if actions is None and all(len(seed.next_frames) >= length for seed in seeds):
            targets = np.stack([seed.next_frames[:length] for seed in seeds])
            scores = psnr(frames, torch.from_numpy(targets)).numpy()
        answer = PredictedFrames(frames.numpy(), told, targets, history, scores, [seed.name for seed in seeds],
                                 seeds[0].fps)
        return {'predictions': answer, 'visualization': answer.draw() if draw else None}
