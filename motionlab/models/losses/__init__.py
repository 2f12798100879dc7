"""Training losses."""

from motionlab.models.losses.pose_losses import BoneLoss, MPJPELoss, MPJPEVelocityJointLoss, MSELoss
from motionlab.models.losses.reduction import weighted_mean

__all__ = ['BoneLoss', 'MPJPELoss', 'MPJPEVelocityJointLoss', 'MSELoss', 'weighted_mean']
