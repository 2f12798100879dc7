"""Write predictions to a file."""

import pickle
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.evaluator import BaseMetric
from torch import Tensor

from motionlab.codecs.batch_keys import SAMPLE_INDEX
from motionlab.evaluation.metrics.base import gather_rows
from motionlab.registry import METRICS
from motionlab.utils import ConfigError

_SUFFIXES = ('.pkl', '.npz')


@METRICS.register_module()
class DumpPredictions(BaseMetric):
    """Keep everything the model predicts and write it, in the order of the dataset, each sample once.

    ``.pkl`` is what the ecosystem's tools write, with plain arrays: a list with one dict of NumPy arrays per sample,
    and ``dataset_name`` in each. ``.npz`` holds one array (N, ...) per key, named ``<dataset_name>/<key>``, and can
    be read without unpickling; ``<dataset_name>/clip_names`` and ``.../clip_actions`` say what ``clip_index`` means.
    After each test set the file holds all sets so far.

    Args:
        out_file: Ends in ``.pkl`` or ``.npz``.

    Raises:
        ConfigError: another ending; predictions without ``sample_index``.
    """

    def __init__(self, out_file: str | Path):
        super().__init__(collect_device='cpu')
        self.out_file = Path(out_file)
        if self.out_file.suffix not in _SUFFIXES:
            raise ConfigError(f'{out_file}: ends in {self.out_file.suffix!r}, expected one of {", ".join(_SUFFIXES)}.')
        self._sets: dict[str, dict[str, np.ndarray]] = {}
        self._clips: dict[str, np.ndarray] = {}

    def process(self, data_batch: dict[str, Tensor], data_samples: dict[str, Tensor]) -> None:
        """Keep all of ``data_samples``: a flat dict of tensors with leading dimension B."""
        if SAMPLE_INDEX not in data_samples:
            raise ConfigError(f'DumpPredictions: the model predicts {sorted(data_samples)} without {SAMPLE_INDEX}, '
                              'which says where a sample belongs.')
        self.results.append({key: value.detach().cpu() for key, value in data_samples.items()})

    def evaluate(self, size: int) -> dict[str, float]:
        """Gather the ranks' predictions and write the file; gives no numbers."""
        kept, self.results = self.results, []
        rows = gather_rows({key: torch.cat([part[key] for part in kept]) for key in kept[0]} if kept else {})
        if is_main_process():
            _, first = np.unique(rows[SAMPLE_INDEX], return_index=True)  # (N,) sorted; padding of the last batch goes.
            meta = self.dataset_meta or {}
            name = meta.get('dataset_name', 'test')
            self._sets[name] = {key: value.numpy()[first] for key, value in rows.items()}
            self._clips.update({f'{name}/{key}': np.array(meta[key], dtype=str)
                                for key in ('clip_names', 'clip_actions') if key in meta})
            self._write()
        return {}

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Nothing: :meth:`evaluate` writes."""
        return {}

    def _write(self) -> None:
        self.out_file.parent.mkdir(parents=True, exist_ok=True)
        if self.out_file.suffix == '.npz':
            np.savez(self.out_file, **{f'{name}/{key}': value for name, arrays in self._sets.items()
                                       for key, value in arrays.items()}, **self._clips)
            return
        samples = [{'dataset_name': name, **{key: value[i] for key, value in arrays.items()}}
                   for name, arrays in self._sets.items() for i in range(len(arrays[SAMPLE_INDEX]))]
        with open(self.out_file, 'wb') as file:
            pickle.dump(samples, file)
