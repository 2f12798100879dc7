"""The terms of the training of layout generation on held-out images."""

import torch
from torch import Tensor

from motionlab.codecs.layout_batch import DEPTH_LABELS
from motionlab.evaluation.metrics.base import TensorMetric, sample_means
from motionlab.registry import METRICS

_LOSS, _SUM, _COUNT = 'loss', 'alpha_sum', 'alpha_count'


@METRICS.register_module()
class LayoutTerms(TensorMetric):
    """Means over all images, each at a noise level and noise of its own, and over all references.

    ``flow``, the squared error of the velocity; ``alpha_foreground``, ``alpha_midground``, ``alpha_background``, alpha
    of the references of each depth label that occurs; and ``num_samples``. They say how well noise is taken off, not
    what generated images look like.

    Args:
        prefix: Put before every name.

    Raises:
        DataError: the loss of an image is not finite.
    """

    needed = (_LOSS,)
    optional = (_SUM, _COUNT)

    def __init__(self, prefix: str | None = None):
        super().__init__(prefix)

    def compute_metrics(self, results: dict[str, Tensor]) -> dict[str, float]:
        """Means of a whole set: losses (N,), alpha's sums and counts (N, 3)."""
        means = sample_means(results, [_LOSS], 'LayoutTerms', 'Look at these images; weights that are not finite give '
                             'this for every sample.')
        metrics = {'flow': means.pop(_LOSS)}
        if _SUM in results and results[_SUM].any():  # Without references alpha is nothing.
            count = results[_COUNT].sum(0)                                                 # (3,)
            mean = results[_SUM].sum(0, dtype=torch.float64) / count.clamp(min=1)          # (3,)
            metrics |= {f'alpha_{label}': value for label, value, number
                        in zip(DEPTH_LABELS, mean.tolist(), count.tolist()) if number}
        return metrics | means
