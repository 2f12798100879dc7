"""Windows of recorded games: past frames, actions and the frame they lead to, a whole batch at a time."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor
from torch.utils.data import Dataset

from motionlab.codecs import frame_batch as keys
from motionlab.datasets.frame_store import FrameStore, open_frame_store
from motionlab.datasets.latent_cache import LatentCache, open_latent_cache
from motionlab.datasets.store import take_rows
from motionlab.registry import DATASETS
from motionlab.utils import ConfigError

_NAMED = 50  # Episodes that are listed by number before "...".


@DATASETS.register_module()
class FrameWindowDataset(Dataset):
    """Windows of a recorded game; each lies inside one episode, and the last frame of an episode is a target too.

    Target i, history frames i-S ... i-1 (oldest first), actions of those same frames: the newest, ``actions[:, -1]``,
    causes frame i. A batch is one gather per array out of mapped memory, see :mod:`motionlab.codecs.frame_batch` for
    its keys and shapes.

    Args:
        ann_file: Folder of the store, relative to ``data_root``.
        data_root: Folder.
        split: Name of a split of the store, or ``all``.
        num_history: S, frames of history.
        num_targets: K, frames in a row to predict; with more than one, targets are (B, K, ...) and actions go on:
            (B, S+K-1).
        pad: Also take targets with fewer than S frames before them (at least one): the first frame of the episode
            stands in for those that are not there, with NO_ACTION and ``action_mask`` False.
        latents: Hash of the codec whose latents are read beside the frames (``history_latents``, ``target_latents``);
            ``only`` for the one cache that is there; None for none.
        frames: Read frames. Turn it off where only latents are used.
        dataset_name: Name in results; default the folder's name and the split.

    Attributes:
        store: The :class:`FrameStore`.
        cache: The :class:`LatentCache`, or None.
        left_out: Episodes of the split that are too short for a window.
        metainfo: ``dataset_name``, ``fps``, ``action_names``, ``frame_size`` (H, W), ``num_history``, ``num_targets``,
            ``codec_hash`` (of the latents; None without).

    Raises:
        ConfigError: options are out of range or contradict each other, or no episode of the split is long enough.
        DataError: the store or its latents are malformed, or there is no such split.
    """

    def __init__(self, ann_file: str | Path, data_root: str | Path = '', split: str = 'train', num_history: int = 3,
                 num_targets: int = 1, pad: bool = False, latents: str | None = None, frames: bool = True,
                 dataset_name: str | None = None):
        if num_history < 1 or num_targets < 1:
            raise ConfigError(f'FrameWindowDataset: {num_history=}, {num_targets=}: expected at least 1 of each.')
        if not frames and latents is None:
            raise ConfigError('FrameWindowDataset: frames=False and latents=None leave nothing to read.')
        self.store: FrameStore = open_frame_store(Path(data_root, ann_file))
        if frames and self.store.frames is None:
            raise ConfigError(f'{self.store.path}: holds latents only. Set frames=False of the dataset.')
        self.cache: LatentCache | None = None if latents is None else open_latent_cache(self.store, latents)
        self.num_history, self.num_targets, self.pad, self.frames = num_history, num_targets, pad, frames
        self._padding = self._no_action() if pad else 0
        self.split, self.episodes = split, self.store.split_episodes(split)                # (n,)
        self.left_out = self._index_windows()
        self.metainfo = dict(dataset_name=dataset_name or f'{self.store.path.name}_{split}', fps=self.store.meta['fps'],
                             action_names=list(self.store.meta['action_names']), frame_size=self.store.frame_size,
                             num_history=num_history, num_targets=num_targets,
                             codec_hash=self.cache and self.cache.codec_hash)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """One sample, without a batch dimension."""
        return {key: value[0] for key, value in self.__getitems__([index]).items()}

    def __getitems__(self, indices: Sequence[int] | np.ndarray) -> dict[str, Tensor]:
        """Samples ``indices`` (B,) as one batch; IndexError where one is out of range."""
        samples = np.asarray(indices, dtype=np.int64)                                      # (B,)
        if samples.size and not 0 <= samples.min() <= samples.max() < len(self):
            raise IndexError(f'sample {samples.min()}..{samples.max()} asked of {len(self)} samples')
        rows, real, episodes = self.rows(samples)                                          # (B, S+K), (B, S), (B,)
        steps = self.num_history
        actions = self.store.actions[rows[:, :-1]].astype(np.int64)                        # (B, S+K-1)
        actions[:, :steps][~real] = self._padding
        mask = np.ones(actions.shape, dtype=bool)
        mask[:, :steps] = real
        batch = {}
        if self.frames:  # Rows as they come: sorting them was no faster from a cold disk, and 1.5 x slower from memory.
            taken = torch.from_numpy(take_rows(self.store.frames, rows))                   # (B, S+K, H, W, 3)
            batch[keys.HISTORY], batch[keys.TARGET] = self._cut(taken)
        if self.cache is not None:
            taken = torch.from_numpy(self.cache.take(rows)).float()                        # (B, S+K, C, h, w)
            batch[keys.HISTORY_LATENTS], batch[keys.TARGET_LATENTS] = self._cut(taken)
        numbers = {keys.ACTIONS: actions, keys.ACTION_MASK: mask, keys.EPISODE: episodes, keys.INDEX: rows[:, steps],
                   keys.SAMPLE_INDEX: samples}
        return batch | {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in numbers.items()}

    def rows(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows of the store (B, S+K), which of the S slots are real (B, S) bool, and the episode (B,), of samples."""
        places = np.searchsorted(self._ends, samples, side='right')                        # (B,) in self._kept
        episodes = self._kept[places]                                                      # (B,)
        starts = self.store.offsets[episodes]                                              # (B,)
        before = self._ends[places] - self._counts[places]
        least = 1 if self.pad else self.num_history
        targets = starts + least + samples - before                                        # (B,) first target
        rows = targets[:, None] + np.arange(-self.num_history, self.num_targets)           # (B, S+K)
        real = rows[:, :self.num_history] >= starts[:, None]                               # (B, S)
        return np.maximum(rows, starts[:, None]), real, episodes

    def _cut(self, taken: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S+K, ...) -> history (B, S, ...) and target (B, ...) or (B, K, ...); views."""
        steps = self.num_history
        return taken[:, :steps], taken[:, steps:] if self.num_targets > 1 else taken[:, steps]

    def _index_windows(self) -> list[int]:
        """Count the windows of every episode; returns the episodes that are too short for one, and says so."""
        least = (1 if self.pad else self.num_history) + self.num_targets
        counts = np.maximum(self.store.lengths[self.episodes] - least + 1, 0)              # (n,)
        self._kept, self._counts = self.episodes[counts > 0], counts[counts > 0]
        self._ends = np.cumsum(self._counts)
        short = self.episodes[counts == 0].tolist()
        where = f'{self.store.path}: split {self.split}'
        if not len(self._kept):
            raise ConfigError(f'{where}: none of its {len(self.episodes)} episodes has {least} frames (num_history='
                              f'{self.num_history}, num_targets={self.num_targets}, pad={self.pad}).')
        print_log(f'{where}: {self._ends[-1]} windows in {len(self._kept)} of {len(self.episodes)} episodes', 'current')
        if short:
            names = ', '.join(map(str, short[:_NAMED])) + (', ...' if len(short) > _NAMED else '')
            print_log(f'{where}: {len(short)} episodes shorter than {least} frames left out: {names}', 'current',
                      logging.WARNING)
        return short

    def _no_action(self) -> int:
        names = self.store.meta['action_names']
        found = [i for i, name in enumerate(names) if name.upper() in ('NO_ACTION', 'NOOP')]
        if not found:
            raise ConfigError(f'FrameWindowDataset.pad: {self.store.path} has the actions {names}: expected one called '
                              'NO_ACTION for the time before an episode.')
        return found[0]
