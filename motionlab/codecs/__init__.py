"""Bridges between raw physical units and network space."""

from motionlab.codecs.base import Codec
from motionlab.codecs.image_pose_lifting import ImagePoseLifting

__all__ = ['Codec', 'ImagePoseLifting']
