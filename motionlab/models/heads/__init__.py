"""Objectives: losses while training, the prediction procedure afterwards."""

from motionlab.models.heads.diffusion_head import DiffusionHead
from motionlab.models.heads.flow_matching_head import FlowMatchingHead
from motionlab.models.heads.frame_reconstruction_head import FrameReconstructionHead
from motionlab.models.heads.pose_regression_head import PoseRegressionHead
from motionlab.models.heads.variational_head import VariationalHead

__all__ = ['DiffusionHead', 'FlowMatchingHead', 'FrameReconstructionHead', 'PoseRegressionHead', 'VariationalHead']
