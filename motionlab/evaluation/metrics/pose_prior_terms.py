"""All terms of a pose prior, and how many samples they are means of."""

from torch import Tensor

from motionlab.codecs import pose_prior_batch as keys
from motionlab.evaluation.metrics.base import TensorMetric, sample_means
from motionlab.registry import METRICS


@METRICS.register_module()
class PosePriorTerms(TensorMetric):
    """Means over all samples, each counting the same whatever batch it was in, of the terms of VPoser.

    ``kl`` (nats), ``v2v_l1``, ``jtr_l1`` (metres, mean absolute coordinate difference), ``geo`` (radians),
    ``v2v_sampled`` and ``v2v_mean`` (metres, Euclidean distance of vertices for a sampled latent and for the posterior
    mean; human_body_prior's val_loss is the former), ``v2v_l1_mm`` (``v2v_l1`` in millimetres), ``total`` (the training
    objective of the first epochs), and ``num_samples``.

    Args:
        prefix: Put before every name.

    Raises:
        DataError: a term of a sample is not finite.
    """

    needed = keys.TERMS

    def __init__(self, prefix: str | None = None):
        super().__init__(prefix)

    def compute_metrics(self, results: dict[str, Tensor]) -> dict[str, float]:
        """Means of a whole set; every term is (N,)."""
        return sample_means(results, keys.TERMS, 'PosePriorTerms', 'Look at these poses; weights that are not finite '
                            'give this for every sample.')
