"""Metrics over tensors, counted once whatever the number of processes."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from mmengine.dist import all_gather_object, broadcast_object_list, gather, get_world_size, is_main_process
from mmengine.evaluator import BaseMetric
from torch import Tensor

from motionlab.codecs.batch_keys import SAMPLE_INDEX
from motionlab.utils import ConfigError, DataError, MotionLabError

NUM_SAMPLES = 'num_samples'  # Name of the metric that says how many samples the others are means of.
_SHOWN = 8


class TensorMetric(BaseMetric):
    """Keeps tensors of the predictions and computes once over the whole set, on the main process.

    Rows of all processes are put in the order of their ``sample_index``; copies (samplers pad the last batch) are
    dropped. Subclasses name what they need in ``needed`` and what they also use, where predictions have it, in
    ``optional``.

    Args:
        prefix: Put before every name, with a slash.
    """

    default_prefix = ''  # None would be warned about; a set has its own prefix already.
    needed: Sequence[str] = ()
    optional: Sequence[str] = ()

    def __init__(self, prefix: str | None = None):
        super().__init__(collect_device='cpu', prefix=prefix)

    def process(self, data_batch: dict[str, Tensor], data_samples: dict[str, Tensor]) -> None:
        """Keep what is needed of one batch.

        Args:
            data_batch: Not used: predictions carry what belongs to them.
            data_samples: Flat dict of tensors with leading dimension B.

        Raises:
            ConfigError: the model does not give a key that this metric needs.
        """
        wanted = (SAMPLE_INDEX, *self.needed)
        absent = [key for key in wanted if key not in data_samples]
        if absent:
            raise ConfigError(f'{type(self).__name__} needs {", ".join(absent)}; the model predicts '
                              f'{", ".join(data_samples)}.')
        self.results.append({key: data_samples[key].detach().cpu() for key in (*wanted, *self.optional)
                             if key in data_samples})

    def evaluate(self, size: int) -> dict[str, float]:
        """Metrics over all processes.

        Args:
            size: Number of samples in the dataset.

        Returns:
            The same numbers on every process.

        Raises:
            DataError: the processes together did not see every sample.
        """
        kept, self.results = self.results, []
        local = {key: torch.cat([part[key] for part in kept]) for key in kept[0]} if kept else {}
        rows = gather_rows(local)
        outcome: list = [None]
        if is_main_process():
            try:
                metrics = self.compute_metrics(_distinct(rows, size, type(self).__name__))
                outcome = [{f'{self.prefix}/{key}' if self.prefix else key: value for key, value in metrics.items()}]
            except MotionLabError as error:  # All processes must raise, or the others would wait forever.
                outcome = [error]
        broadcast_object_list(outcome)
        if isinstance(outcome[0], MotionLabError):
            raise outcome[0]
        return outcome[0]

    @abstractmethod
    def compute_metrics(self, results: dict[str, Tensor]) -> dict[str, float]:
        """Names and values from every sample's rows, in the order of the dataset."""


def sample_means(results: dict[str, Tensor], names: Sequence[str], owner: str, hint: str) -> dict[str, float]:
    """Means over all samples, each counting the same whatever batch it was in, and :data:`NUM_SAMPLES`.

    Args:
        results: (N,) for each of ``names`` and for ``sample_index``.
        names: What to average.
        owner: The metric, named in errors.
        hint: What to do about a broken sample.

    Raises:
        DataError: a value is not finite; samples are named.
    """
    metrics: dict[str, float] = {}
    for name in names:
        values = results[name].double()                                                    # (N,)
        broken = results[SAMPLE_INDEX][~torch.isfinite(values)].tolist()
        if broken:
            raise DataError(owner, name, f'NaN or infinity for {len(broken)} of {len(values)} samples (sample_index '
                            f'{broken[:_SHOWN]})', 'finite values', hint)
        metrics[name] = values.mean().item()
    return {**metrics, NUM_SAMPLES: len(results[SAMPLE_INDEX])}


def gather_rows(local: dict[str, Tensor]) -> dict[str, Tensor]:
    """Concatenate the rows (leading dimension) of all processes on the main one; elsewhere the result is empty.

    Args:
        local: CPU tensors of equal length; may be empty on processes that saw nothing.
    """
    if get_world_size() == 1:
        return local
    layouts = all_gather_object({key: (tuple(value.shape), value.dtype) for key, value in local.items()})
    layout = next((each for each in layouts if each), {})
    lengths = [next(iter(each.values()))[0][0] if each else 0 for each in layouts]
    gathered = {}
    for key, (shape, dtype) in layout.items():
        padded = torch.zeros(max(lengths), *shape[1:], dtype=dtype)
        if key in local:
            padded[:len(local[key])] = local[key]
        parts = gather(padded)
        if is_main_process():
            gathered[key] = torch.cat([part[:length].cpu() for part, length in zip(parts, lengths)])
    return gathered


def _distinct(rows: dict[str, Tensor], size: int, name: str) -> dict[str, Tensor]:
    """Rows ordered by sample, each sample once."""
    index = rows.get(SAMPLE_INDEX, torch.zeros(0, dtype=torch.int64))                      # (N,)
    order = torch.argsort(index, stable=True)
    ordered = index[order]
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[1:] = ordered[1:] != ordered[:-1]
    order = order[first]
    if len(order) != size:
        raise DataError(name, SAMPLE_INDEX, f'{len(order)} distinct samples', f'{size}, one for each of the dataset',
                        'A sampler must deal every sample to some process.')
    return {key: value[order] for key, value in rows.items()}
