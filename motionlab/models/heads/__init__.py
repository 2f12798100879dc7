"""Objectives: losses while training, the prediction procedure afterwards."""

from motionlab.models.heads.pose_regression_head import PoseRegressionHead

__all__ = ['PoseRegressionHead']
