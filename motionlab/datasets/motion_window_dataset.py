"""Windows of whole-body motion, a whole batch at a time."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor
from torch.utils.data import Dataset

from motionlab.codecs import motion_batch as keys
from motionlab.datasets.amass.manifest import read_manifest
from motionlab.datasets.amass.motions import NUM_BETAS
from motionlab.datasets.amass.splits import TEST_SETS
from motionlab.datasets.motion_store import open_motion_store
from motionlab.registry import DATASETS
from motionlab.utils import ConfigError, DataError

_LEAST = 3  # Raw frames that any model is trained on; each checks its own number.


@DATASETS.register_module()
class MotionWindowDataset(Dataset):
    """Windows of ``seq_len`` frames from prepared motions, Y up, at one frame rate.

    The file is mapped into memory, not read: AMASS at 30 frames per second is 1.3 GB on disk, and workers and ranks
    share its pages. A batch is one gather per field. ``__getitems__`` returns ``trans`` (B, T, 3), ``root_orient``
    (B, T, 3), ``pose_body`` (B, T, 63), ``betas`` (B, 16), ``sample_index`` (B,) and, where the file has classes,
    ``action`` (B,); see :mod:`motionlab.codecs.motion_batch`.

    - ``windows='random'``: one sample per sequence; every start 0 ... n - seq_len is equally likely. What is drawn for
      a sequence (start, shape noise, direction) follows from (seed, epoch, sequence) alone: the sampler adds a number
      of the epoch to the indices (:attr:`redrawn_each_epoch`), so neither workers, ranks nor resuming change it. Plain
      indices ``0 ... len - 1`` give one fixed draw.
    - ``windows='all'``: every ``window_stride``-th start of each sequence, always the same; for evaluation.

    Args:
        ann_file: ``.npz`` of ``prepare_amass.py --selection motions --body ...`` or ``smpl_to_motions.py``, relative to
            ``data_root``.
        data_root: Folder.
        seq_len: T, raw frames of a window.
        windows: ``random`` or ``all``.
        window_stride: Frames from one window to the next, for ``all``; default ``seq_len``.
        shape_noise: Standard deviation of what is added to the betas, one draw for a whole sequence (and epoch).
        time_reversal: Play half of the windows backwards, chosen at random; for ``random``.
        fps: Frames per second that the model is made for; a file of another rate is refused.
        dataset_name: Name in results; default the file's name without its ending.

    Attributes:
        redrawn_each_epoch: Whether the sampler has to say which epoch an index belongs to.
        metainfo: ``dataset_name``, ``fps``, ``seq_len``, ``action_names``, and ``bodies``, those that the motions were
            prepared with, where that is known.

    Raises:
        ConfigError: options are out of range or contradict each other.
        DataError: the file is missing, damaged, of another kind or rate, not Y-up, or no sequence is long enough; while
            reading, a number that is not finite (field, frame and source file are named).
    """

    def __init__(self, ann_file: str | Path, data_root: str | Path = '', seq_len: int = 16,
                 windows: str = 'random', window_stride: int | None = None, shape_noise: float = 1.0,
                 time_reversal: bool = False, fps: float = 30.0, dataset_name: str | None = None):
        _check_options(seq_len, windows, window_stride, shape_noise, time_reversal)
        self.store = open_motion_store(Path(data_root, ann_file))
        if self.store.fps != fps:
            raise DataError(self.store.path, 'fps', self.store.fps, fps, f'Prepare the motions with --fps {fps:g}, or '
                            'set fps of the dataset and of the codec.')
        self.seq_len, self.shape_noise, self.time_reversal = seq_len, shape_noise, time_reversal
        self.redrawn_each_epoch = windows == 'random'
        stride = window_stride or seq_len
        lengths = self.store.lengths
        self.sequences = np.flatnonzero(lengths >= seq_len)                                # (S,) long enough
        if not len(self.sequences):
            raise DataError(self.store.path, 'sequences', f'{len(lengths)}, the longest of {lengths.max()} frames',
                            f'one of at least seq_len={seq_len}')
        self._num_starts = lengths[self.sequences] - seq_len + 1                           # (S,)
        counts = np.ones_like(self._num_starts) if self.redrawn_each_epoch else -(-self._num_starts // stride)
        self._ends, self._stride = np.cumsum(counts), stride                               # (S,) samples up to each
        self._drawn: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        self.metainfo = dict(dataset_name=dataset_name or self.store.path.stem, fps=fps, seq_len=seq_len,
                             action_names=list(self.store.action_names), bodies=list(self.store.bodies))
        self._tell()

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """One sample, without a batch dimension."""
        return {key: value[0] for key, value in self.__getitems__([index]).items()}

    def __getitems__(self, indices: Sequence[int] | np.ndarray) -> dict[str, Tensor]:
        """Samples ``indices`` (B,) as one batch; IndexError where one is out of range."""
        rounds, samples = np.divmod(np.asarray(indices, dtype=np.int64), len(self))        # (B,), (B,)
        if rounds.size and (rounds.min() < 0 or (rounds.max() > 0 and not self.redrawn_each_epoch)):
            raise IndexError(f'sample {min(indices)}..{max(indices)} asked of {len(self)} samples')
        places, starts, betas, backwards = self._windows(rounds, samples)
        first = self.store.starts[self.sequences[places]] + starts                         # (B,)
        rows = first[:, None] + np.arange(self.seq_len)                                    # (B, T)
        rows[backwards] = rows[backwards, ::-1]
        batch = {**self.store.take(rows), keys.BETAS: betas, keys.SAMPLE_INDEX: samples}
        if self.store.actions is not None:
            batch[keys.ACTION] = self.store.actions[self.sequences[places]]
        return {key: torch.from_numpy(value) for key, value in batch.items()}

    def _windows(self, rounds: np.ndarray, samples: np.ndarray) -> tuple[np.ndarray, ...]:
        """Place in :attr:`sequences`, start, betas (B, 16) and direction of each sample, (B,) each."""
        places = np.searchsorted(self._ends, samples, side='right')                        # (B,)
        betas = self.store.betas[self.sequences[places]]                                   # (B, 16)
        previous = np.where(places > 0, self._ends[places - 1], 0)
        starts = (samples - previous) * self._stride                                       # (B,) 0 for random windows
        backwards = np.zeros(len(samples), dtype=bool)
        for number in np.unique(rounds).tolist():
            chance, reversed_, noise = self._draw(number)
            here = rounds == number
            betas[here] += np.float32(self.shape_noise) * noise[places[here]]
            if self.redrawn_each_epoch:
                starts[here] = (chance[places[here]] * self._num_starts[places[here]]).astype(np.int64)
                backwards[here] = self.time_reversal & reversed_[places[here]]
        return places, starts, betas, backwards

    def _draw(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What one epoch draws for all sequences: [0, 1) (S,), whether backwards (S,), normal noise (S, 16)."""
        if number not in self._drawn:
            if len(self._drawn) > 1:  # A batch may span two epochs.
                self._drawn.clear()
            generator, count = np.random.default_rng(number), len(self.sequences)
            self._drawn[number] = (generator.random(count), generator.random(count) < 0.5,
                                   generator.standard_normal((count, NUM_BETAS), dtype=np.float32))
        return self._drawn[number]

    def _tell(self) -> None:
        """Say what is used and what is not, here and in the preparation; warn of test data in training."""
        store, used = self.store, self.sequences
        hours = store.lengths[used].sum() / store.fps / 3600
        print_log(f'{store.path}: {len(used)} of {len(store.lengths)} sequences, {hours:.2f} h at {store.fps:g} fps; '
                  f'{len(store.lengths) - len(used)} shorter than seq_len={self.seq_len} left out', 'current')
        manifest = read_manifest(store.path.parent)
        rows = [row for row in manifest['table'] if row['split'] == store.path.stem] if manifest else []
        if rows:
            counts = {key: sum(row[key] for row in rows) for key in ('found', 'used', 'too_short', 'skipped',
                                                                    'non_motion', 'copies', 'other_family')}
            print_log(f'{store.path}: prepared: ' + ', '.join(f'{count} {key.replace("_", " ")}'
                                                              for key, count in counts.items()), 'current')
            for reason, entry in manifest['skipped'].items():
                print_log(f'{store.path.parent}: skipped {entry["count"]} x {reason} ({entry["first"]}): '
                          f'{", ".join(entry["files"])}', 'current', logging.WARNING)
        leaked = sorted(set(store.datasets[used]) & set(TEST_SETS['motions'])) if self.redrawn_each_epoch else []
        if leaked:
            print_log(f'{store.path}: {", ".join(leaked)} among the random windows of training: a test set of PRIMAL; '
                      'results on it mean nothing.', 'current', logging.WARNING)


def _check_options(seq_len: int, windows: str, window_stride: int | None, shape_noise: float,
                   time_reversal: bool) -> None:
    if seq_len < _LEAST:
        raise ConfigError(f'MotionWindowDataset.seq_len={seq_len}: expected at least {_LEAST} frames.')
    if windows not in ('random', 'all'):
        raise ConfigError(f"MotionWindowDataset.windows={windows!r}: expected 'random' or 'all'.")
    if windows == 'random' and window_stride is not None:
        raise ConfigError(f"MotionWindowDataset.window_stride={window_stride} has no effect on windows='random'.")
    if window_stride is not None and window_stride < 1:
        raise ConfigError(f'MotionWindowDataset.window_stride={window_stride}: expected at least 1.')
    if windows == 'all' and time_reversal:
        raise ConfigError("MotionWindowDataset.time_reversal has no effect on windows='all'.")
    if not 0 <= shape_noise < np.inf:
        raise ConfigError(f'MotionWindowDataset.shape_noise={shape_noise!r}: expected a standard deviation, 0 or more.')
