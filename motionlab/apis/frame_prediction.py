"""Frames of a game as a model makes them, from real frames and actions."""

from collections.abc import Sequence

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor

from motionlab.apis.pose_prior import evaluating
from motionlab.codecs.frame_source import check_frame_source
from motionlab.datasets.frame_store import FrameStore
from motionlab.datasets.store import take_rows
from motionlab.models.frame_predictor import FramePredictor
from motionlab.models.frame_rollout import FrameOptions, FrameRollout
from motionlab.utils import ConfigError, DataError
from motionlab.utils.random import derive_seed

_SEED_BITS = 32  # torch's generator takes no more.


@torch.no_grad()
def predict_frames(model: FramePredictor, history: Tensor | np.ndarray, actions: Tensor | np.ndarray, *,
                   options: FrameOptions | None = None, mask: Tensor | None = None,
                   seeds: Sequence[int] | None = None, batch_size: int = 64, show_progress: str = '') -> Tensor:
    """Frames after real ones, each from the frames made before it.

    Args:
        model: Any mode; it has the same one afterwards.
        history: (B, n, H, W, 3) uint8 real frames, oldest first; the last S are read.
        actions: (B, n - 1 + N) integers: taken on seeing the frames of the history and then, N - 1 of them, on seeing
            those that are made.
        options: Solver steps, guidance, seed.
        mask: (B, n) bool, False for frames that stand for what was before the game began. None: all are real.
        seeds: (B,) of the noise; by default they follow from the options' and the row. Row i does not depend on the
            rows beside it.
        batch_size: Rows at once.
        show_progress: Title of a progress bar; none without.

    Returns:
        (B, N, H, W, 3) uint8, on the CPU.

    Raises:
        ConfigError: the model takes no frames of this size.
        DataError: shapes do not fit each other, an unknown action, or what is made is not finite.
    """
    history, actions = torch.as_tensor(history), torch.as_tensor(actions).long()
    if history.ndim != 5 or history.dtype != torch.uint8 or actions.ndim != 2 or len(actions) != len(history) \
            or actions.shape[1] < history.shape[1] or len(history) < 1:
        raise DataError('frames', 'history, actions', f'{history.dtype} {tuple(history.shape)}, '
                        f'{tuple(actions.shape)}', 'uint8 (B, n, H, W, 3), (B, n - 1 + N) with N at least 1')
    options, before = options or FrameOptions(), history.shape[1] - 1
    seeds = window_seeds(options.seed, range(len(history))) if seeds is None else list(seeds)
    device, rollout = next(model.parameters()).device, FrameRollout(model, options)
    made = []
    with evaluating(model), Progress(disable=not show_progress, transient=True) as progress:
        task = progress.add_task(show_progress, total=len(history) * (actions.shape[1] - before))
        for first in range(0, len(history), batch_size):
            rows = slice(first, first + batch_size)
            state = rollout.begin(rollout.encode(history[rows].to(device)), actions[rows, :before].to(device),
                                  None if mask is None else mask[rows].to(device), seeds[rows])
            frames = []
            for latents in rollout.run(state, actions[rows, before:].to(device)):
                if not latents.isfinite().all():
                    raise DataError('frames', f'frame {len(frames)} after the history', 'NaN or infinity',
                                    'finite numbers', 'Look at the weights.')
                frames.append(rollout.decode(latents).cpu())
                progress.advance(task, len(latents))
            made.append(torch.stack(frames, dim=1))                                        # (b, N, H, W, 3)
    return torch.cat(made)


def window_seeds(seed: int, rows: Sequence[int]) -> list[int]:
    """Seeds of noise that belong to rows of a store, whatever else is made beside them."""
    return [derive_seed(6, seed, int(row)) % 2**_SEED_BITS for row in rows]


def window_rows(store: FrameStore, split: str, num_history: int, num_frames: int = 1,
                limit: int | None = None) -> np.ndarray:
    """Where windows lie in a store: ``num_history`` frames before the row, and from it on ``num_frames``.

    All windows of one frame; of more, only such that lie side by side.

    Args:
        limit: At most so many, evenly spread; None for all.

    Returns:
        (n,) int64 rows of the first frame after the history.

    Raises:
        ConfigError: a number below 1.
        DataError: no such split, or no episode of it is long enough.
    """
    if min(num_history, num_frames, limit or 1) < 1 or limit == 0:
        raise ConfigError(f'found num_history={num_history}, num_frames={num_frames}, limit={limit}; expected at least '
                          '1.')
    starts = [np.arange(rows.start + num_history, rows.stop - num_frames + 1, num_frames)
              for rows in map(store.episode, store.split_episodes(split).tolist())]
    rows = np.concatenate(starts) if starts else np.zeros(0, np.int64)
    if not len(rows):
        raise DataError(store.path, f'episodes of {split}', 'none that is long enough',
                        f'one of {num_history} + {num_frames} frames')
    if limit is None or limit >= len(rows):
        return rows
    return rows[np.linspace(0, len(rows) - 1, limit).round().astype(int)]


def take_windows(store: FrameStore, rows: np.ndarray, num_history: int,
                 num_frames: int) -> tuple[Tensor, Tensor, Tensor]:
    """The windows of :func:`window_rows`.

    Returns:
        history (n, S, H, W, 3) and what follows (n, N, H, W, 3), uint8; actions (n, S + N - 1) int64.
    """
    places = rows[:, None] + np.arange(-num_history, num_frames)                           # (n, S + N)
    frames = torch.from_numpy(take_rows(store.frames, places))
    actions = torch.from_numpy(store.actions[places[:, :-1]].astype(np.int64))
    return frames[:, :num_history], frames[:, num_history:], actions


def check_store(model: FramePredictor, store: FrameStore) -> None:
    """Refuse a store without frames, of other actions or of a size that the codec cannot divide.

    Raises:
        ConfigError, DataError: see :func:`motionlab.codecs.frame_source.check_frame_source`.
    """
    if store.frames is None:
        raise ConfigError(f'{store.path}: holds latents only; predictions are compared with frames.')
    check_frame_source(model.codec, model.num_history, model.backbone.num_actions, dict(
        dataset_name=store.path.name, action_names=store.meta['action_names'], frame_size=store.frame_size,
        num_history=model.num_history))
