"""From what a dataset returns to a batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from motionlab.registry import FUNCTIONS
from motionlab.utils import DataError


@FUNCTIONS.register_module()
def batch_collate(samples: dict[str, Tensor] | Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Hand a batch of ``__getitems__`` on as it is; stack single samples of ``__getitem__`` along a new first axis.

    Raises:
        DataError: Samples differ in their keys, or in the shape of a key.
    """
    if isinstance(samples, dict):
        return samples
    expected = list(samples[0])
    for sample in samples:
        if set(sample) != set(expected):
            raise DataError('batch', 'keys', sorted(sample), sorted(expected), 'All samples need the same keys.')
    batch = {}
    for key in expected:
        shapes = {tuple(sample[key].shape) for sample in samples}
        if len(shapes) > 1:
            raise DataError('batch', key, f'shapes {sorted(shapes)}', 'one shape for all samples')
        batch[key] = torch.stack([sample[key] for sample in samples])
    return batch
