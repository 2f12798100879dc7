"""Layers that several networks share."""

from motionlab.models.layers.drop_path import DropPath
from motionlab.models.layers.dropout import BatchDropout
from motionlab.models.layers.feature_projection import FeatureProjection
from motionlab.models.layers.fused_transformer import fused_layers
from motionlab.models.layers.half_linear import HalfLinear
from motionlab.models.layers.modulated_transformer import ModulatedTransformerLayer, modulate
from motionlab.models.layers.packed_linear import PackedLinear
from motionlab.models.layers.precise_batch_norm import PreciseBatchNorm1d, precise_batch_norm
from motionlab.models.layers.precise_linear import precise_linear
from motionlab.models.layers.sinusoidal_embedding import StepEmbedding, sinusoidal_table
from motionlab.models.layers.transformer import PRE_NORM_EPS, TransformerLayer

__all__ = ['PRE_NORM_EPS', 'BatchDropout', 'DropPath', 'FeatureProjection', 'HalfLinear', 'ModulatedTransformerLayer',
           'PackedLinear', 'PreciseBatchNorm1d', 'StepEmbedding', 'TransformerLayer', 'fused_layers', 'modulate',
           'precise_batch_norm', 'precise_linear', 'sinusoidal_table']
