"""Networks: tensors in, features out."""

from motionlab.models.backbones.poseformer import PoseFormer
from motionlab.models.backbones.tcn import TCN

__all__ = ['TCN', 'PoseFormer']
