"""Bridges between raw physical units and network space."""

from motionlab.codecs.base import Codec
from motionlab.codecs.body_pose_codec import BodyPoseCodec
from motionlab.codecs.image_pose_lifting import ImagePoseLifting

__all__ = ['BodyPoseCodec', 'Codec', 'ImagePoseLifting']
