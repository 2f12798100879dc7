"""The terms of motion diffusion on held-out windows."""

from torch import Tensor

from motionlab.codecs import motion_batch as keys
from motionlab.evaluation.metrics.base import TensorMetric, sample_means
from motionlab.registry import METRICS


@METRICS.register_module()
class MotionDiffusionTerms(TensorMetric):
    """Means over all windows of the terms of PRIMAL's loss, each window at a diffusion step and noise of its own.

    ``simple`` (features, mean squared), ``fk`` (joints of the predicted bodies, metres squared or metres),
    ``velocity`` or ``acceleration`` (their differences, feature units), ``total`` (the training objective), and
    ``num_samples``. They say how well noise is taken off, not how generated motion looks.

    Args:
        prefix: Put before every name.

    Raises:
        DataError: a term of a window is not finite.
    """

    needed = (keys.SIMPLE, keys.FK, keys.TOTAL)
    optional = (keys.VELOCITY, keys.ACCELERATION)

    def __init__(self, prefix: str | None = None):
        super().__init__(prefix)

    def compute_metrics(self, results: dict[str, Tensor]) -> dict[str, float]:
        """Means of a whole set; every term is (N,)."""
        names = [name for name in (*self.needed[:-1], *self.optional, keys.TOTAL) if name in results]
        return sample_means(results, names, 'MotionDiffusionTerms', 'Look at these motions; weights that are not '
                            'finite give this for every sample.')
