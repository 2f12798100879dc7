"""Metrics for the evaluation loop."""

from motionlab.evaluation.metrics.base import TensorMetric
from motionlab.evaluation.metrics.depth_order_accuracy import PCK3D, DepthOrderAccuracy
from motionlab.evaluation.metrics.dump_predictions import DumpPredictions
from motionlab.evaluation.metrics.frame_prediction_metric import FramePredictionMetric
from motionlab.evaluation.metrics.layout_metric import LayoutMetric
from motionlab.evaluation.metrics.layout_terms import LayoutTerms
from motionlab.evaluation.metrics.motion_diffusion_terms import MotionDiffusionTerms
from motionlab.evaluation.metrics.mpjpe import MPJPE
from motionlab.evaluation.metrics.pose_breakdown import PoseBreakdown
from motionlab.evaluation.metrics.pose_prior_terms import PosePriorTerms

__all__ = ['MPJPE', 'PCK3D', 'DepthOrderAccuracy', 'DumpPredictions', 'FramePredictionMetric', 'LayoutMetric',
           'LayoutTerms', 'MotionDiffusionTerms', 'PoseBreakdown', 'PosePriorTerms', 'TensorMetric']
