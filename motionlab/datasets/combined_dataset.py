"""Several datasets of one kind as one, which remembers where every sample comes from."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from motionlab.codecs.lifting_batch import CLIP_INDEX, SAMPLE_INDEX
from motionlab.registry import DATASETS
from motionlab.utils import ConfigError, DataError

_SAME_EVERYWHERE = ('skeleton', 'fps')  # Kept in the metainfo where all sources agree.


@DATASETS.register_module()
class CombinedDataset(Dataset):
    """The samples of several datasets, one source after the other.

    A batch costs one fetch per source that occurs in it. ``sample_index`` counts through all sources and
    ``clip_index`` stays different for different clips, so that no metric takes frames of two sources for neighbours.

    Args:
        datasets: At least one dataset (or its config) with ``__getitems__`` and a ``metainfo`` that holds a
            ``dataset_name``; names differ. Batches of all sources have the same keys.
        dataset_name: Name in results; default the sources' names joined by ``+``.

    Attributes:
        sizes: Samples of every source; :class:`motionlab.datasets.samplers.BalancedSampler` reads them.
        metainfo: ``dataset_name``; ``sources``, a list of ``{'name', 'size'}``; ``clip_names`` (prefixed with
            ``<source>/`` where two sources share a name) and ``clip_actions`` of all clips where every source has
            them; ``skeleton`` and ``fps`` where all agree.

    Raises:
        ConfigError: no source, sources without different names, or one that is redrawn each epoch.
        DataError: a source without samples, or of another skeleton.
    """

    def __init__(self, datasets: Sequence[dict | Dataset], dataset_name: str | None = None):
        if not datasets:
            raise ConfigError('CombinedDataset.datasets: found none, expected at least one dataset.')
        self.datasets = [DATASETS.build(each) if isinstance(each, dict) else each for each in datasets]
        metas = [getattr(each, 'metainfo', None) or {} for each in self.datasets]
        self.names = [meta.get('dataset_name') for meta in metas]
        if not all(self.names) or len(set(self.names)) < len(self.names):
            raise ConfigError(f'CombinedDataset.datasets: found sources named {self.names}, expected a different name '
                              'for each: set dataset_name of the datasets.')
        self.sizes = [len(each) for each in self.datasets]
        for name, size in zip(self.names, self.sizes):
            if size == 0:
                raise DataError(name, 'length', 0, 'at least one sample', f'Leave {name} out of CombinedDataset.')
        redrawn = [name for name, each in zip(self.names, self.datasets) if getattr(each, 'redrawn_each_epoch', False)]
        if redrawn:  # Its indices say the epoch too, which ours cannot.
            raise ConfigError(f'CombinedDataset.datasets: {", ".join(redrawn)} draws its samples anew each epoch: '
                              'prepare the data of all sources into one file instead.')
        self._ends = np.cumsum(self.sizes)                                                   # (S,)
        self._clip_counts = [len(meta['clip_names']) if 'clip_names' in meta else None for meta in metas]
        self.metainfo = self._merge(metas, dataset_name or '+'.join(self.names))

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {key: value[0] for key, value in self.__getitems__([index]).items()}

    def __getitems__(self, indices: Sequence[int] | np.ndarray) -> dict[str, Tensor]:
        """Samples ``indices`` (B,) as one batch, in this order.

        Raises:
            IndexError: an index is out of range.
            DataError: two sources give different keys, shapes or types of values.
        """
        indices = np.asarray(indices, dtype=np.int64)                                        # (B,)
        if indices.size and not (-len(self) <= indices.min() and indices.max() < len(self)):
            raise IndexError(f'sample {indices.min()}..{indices.max()} asked of {len(self)} samples')
        indices = np.where(indices < 0, indices + len(self), indices)
        source = np.searchsorted(self._ends, indices, side='right')                          # (B,)
        present = np.unique(source).tolist() or [0]
        parts = {s: self._fetch(s, indices[source == s]) for s in present}
        if len(present) == 1:
            return parts[present[0]]
        self._check_alike(parts)
        places = {s: torch.from_numpy(np.flatnonzero(source == s)) for s in present}
        batch = {}
        for key, value in parts[present[0]].items():
            batch[key] = value.new_empty(len(indices), *value.shape[1:])
            for s in present:
                batch[key][places[s]] = parts[s][key]
        return batch

    def _fetch(self, source: int, indices: np.ndarray) -> dict[str, Tensor]:
        """Samples of one source by their global indices, counted through all sources."""
        first = int(self._ends[source]) - self.sizes[source]
        batch = dict(self.datasets[source].__getitems__((indices - first).tolist()))
        if SAMPLE_INDEX in batch:
            batch[SAMPLE_INDEX] = batch[SAMPLE_INDEX] + first
        if CLIP_INDEX in batch and source > 0:
            before = self._clip_counts[:source]
            if None in before:
                raise DataError(self.names[before.index(None)], 'metainfo clip_names', 'nothing',
                                f'the names of its clips, for batches carry {CLIP_INDEX}')
            batch[CLIP_INDEX] = batch[CLIP_INDEX] + sum(before)
        return batch

    def _check_alike(self, parts: dict[int, dict[str, Tensor]]) -> None:
        (first, expected), *others = parts.items()
        for source, part in others:
            for key in sorted(part.keys() ^ expected.keys()):
                there, absent = (source, first) if key in part else (first, source)
                raise DataError(self.names[absent], f'key {key}', 'nothing',
                                f'this key, which {self.names[there]} has', 'Give all sources the same options.')
            for key, value in part.items():
                found, wanted = ((tuple(v.shape[1:]), v.dtype) for v in (value, expected[key]))
                if found != wanted:
                    raise DataError(self.names[source], f'key {key}', f'shape {found[0]}, {found[1]} for each sample',
                                    f'{wanted[0]}, {wanted[1]} as in {self.names[first]}',
                                    'Give all sources the same options, such as seq_len.')

    def _merge(self, metas: list[dict[str, Any]], dataset_name: str) -> dict[str, Any]:
        merged: dict[str, Any] = dict(dataset_name=dataset_name, sources=[
            dict(name=name, size=size) for name, size in zip(self.names, self.sizes)])
        skeletons = {name: meta['skeleton'] for name, meta in zip(self.names, metas) if 'skeleton' in meta}
        if len(set(skeletons.values())) > 1:
            raise DataError(dataset_name, 'skeleton', skeletons, 'one skeleton for all sources')
        for key in _SAME_EVERYWHERE:
            values = [meta.get(key) for meta in metas]
            if values[0] is not None and all(value == values[0] for value in values):
                merged[key] = values[0]
        if all('clip_names' in meta for meta in metas):
            times = Counter(name for meta in metas for name in set(meta['clip_names']))
            merged['clip_names'] = [name if times[name] == 1 else f'{source}/{name}'
                                    for source, meta in zip(self.names, metas) for name in meta['clip_names']]
        if all('clip_actions' in meta for meta in metas):
            merged['clip_actions'] = [action for meta in metas for action in meta['clip_actions']]
        return merged
