"""All terms of a pose prior, and how many samples they are means of."""

import torch
from torch import Tensor

from motionlab.codecs import pose_prior_batch as keys
from motionlab.evaluation.metrics.base import NUM_SAMPLES, TensorMetric
from motionlab.registry import METRICS
from motionlab.utils import DataError

_SHOWN = 8


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
        metrics: dict[str, float] = {}
        for name in keys.TERMS:
            values = results[name].double()                                                # (N,)
            broken = results[keys.SAMPLE_INDEX][~torch.isfinite(values)].tolist()
            if broken:
                raise DataError('PosePriorTerms', name, f'NaN or infinity for {len(broken)} of {len(values)} samples '
                                f'(sample_index {broken[:_SHOWN]})', 'finite values',
                                'Look at these poses; weights that are not finite give this for every sample.')
            metrics[name] = values.mean().item()
        return {**metrics, NUM_SAMPLES: len(results[keys.SAMPLE_INDEX])}
