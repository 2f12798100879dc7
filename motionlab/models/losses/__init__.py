"""Training losses."""

from motionlab.models.losses.depth_losses import (
    InverseConfidenceMPJPELoss,
    OrdinalDepthLoss,
    ProjectionLoss,
    TrajectoryLoss,
)
from motionlab.models.losses.pose_losses import BoneLoss, MPJPELoss, MPJPEVelocityJointLoss, MSELoss
from motionlab.models.losses.reduction import weighted_mean

__all__ = ['BoneLoss', 'InverseConfidenceMPJPELoss', 'MPJPELoss', 'MPJPEVelocityJointLoss', 'MSELoss',
           'OrdinalDepthLoss', 'ProjectionLoss', 'TrajectoryLoss', 'weighted_mean']
