"""Bridges between raw physical units and network space."""

from motionlab.codecs.base import Codec
from motionlab.codecs.body_pose_codec import BodyPoseCodec
from motionlab.codecs.diffusers_autoencoder import DiffusersAutoencoder
from motionlab.codecs.frame_autoencoder_network import FrameAutoencoderNetwork
from motionlab.codecs.frame_autoencoders import DeepCompressionAutoencoder, ScratchAutoencoder, TinyAutoencoder
from motionlab.codecs.frame_codecs import FrameCodec, SpaceToDepth
from motionlab.codecs.image_pose_lifting import ImagePoseLifting
from motionlab.codecs.motion_encoding import MotionEncoding

__all__ = ['BodyPoseCodec', 'Codec', 'DeepCompressionAutoencoder', 'DiffusersAutoencoder', 'FrameAutoencoderNetwork',
           'FrameCodec', 'ImagePoseLifting', 'MotionEncoding', 'ScratchAutoencoder', 'SpaceToDepth', 'TinyAutoencoder']
