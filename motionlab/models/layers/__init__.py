"""Layers that several networks share."""

from motionlab.models.layers.dropout import BatchDropout
from motionlab.models.layers.precise_batch_norm import PreciseBatchNorm1d, precise_batch_norm
from motionlab.models.layers.precise_linear import precise_linear

__all__ = ['BatchDropout', 'PreciseBatchNorm1d', 'precise_batch_norm', 'precise_linear']
