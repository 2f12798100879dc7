"""Layers that several networks share."""

from motionlab.models.layers.drop_path import DropPath
from motionlab.models.layers.dropout import BatchDropout
from motionlab.models.layers.feature_projection import FeatureProjection
from motionlab.models.layers.precise_batch_norm import PreciseBatchNorm1d, precise_batch_norm
from motionlab.models.layers.precise_linear import precise_linear
from motionlab.models.layers.transformer import PRE_NORM_EPS, TransformerLayer

__all__ = ['PRE_NORM_EPS', 'BatchDropout', 'DropPath', 'FeatureProjection', 'PreciseBatchNorm1d', 'TransformerLayer',
           'precise_batch_norm', 'precise_linear']
