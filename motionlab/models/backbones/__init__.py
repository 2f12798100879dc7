"""Networks: tensors in, features out."""

from motionlab.models.backbones.tcn import TCN

__all__ = ['TCN']
