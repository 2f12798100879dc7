"""Metrics for the evaluation loop."""

from motionlab.evaluation.metrics.base import TensorMetric
from motionlab.evaluation.metrics.dump_predictions import DumpPredictions
from motionlab.evaluation.metrics.mpjpe import MPJPE

__all__ = ['MPJPE', 'DumpPredictions', 'TensorMetric']
