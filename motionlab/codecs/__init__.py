"""Bridges between raw physical units and network space."""

from motionlab.codecs.base import Codec
from motionlab.codecs.body_pose_codec import BodyPoseCodec
from motionlab.codecs.clip_dino_references import ClipDinoReferences
from motionlab.codecs.dct_image_codec import DctImageCodec
from motionlab.codecs.diffusers_autoencoder import DiffusersAutoencoder
from motionlab.codecs.flux_autoencoder import FluxAutoencoder
from motionlab.codecs.flux_text_encoders import FluxTextEncoders
from motionlab.codecs.frame_autoencoder_network import FrameAutoencoderNetwork
from motionlab.codecs.frame_autoencoders import DeepCompressionAutoencoder, ScratchAutoencoder, TinyAutoencoder
from motionlab.codecs.frame_codecs import FrameCodec, SpaceToDepth
from motionlab.codecs.image_pose_lifting import ImagePoseLifting
from motionlab.codecs.layout_codec import LayoutCodec
from motionlab.codecs.motion_encoding import MotionEncoding
from motionlab.codecs.tiny_reference_encoders import TinyReferenceEncoders
from motionlab.codecs.word_embeddings import WordEmbeddings

__all__ = ['BodyPoseCodec', 'ClipDinoReferences', 'Codec', 'DctImageCodec', 'DeepCompressionAutoencoder',
           'DiffusersAutoencoder', 'FluxAutoencoder', 'FluxTextEncoders', 'FrameAutoencoderNetwork',
           'FrameCodec', 'ImagePoseLifting', 'LayoutCodec', 'MotionEncoding', 'ScratchAutoencoder',
           'SpaceToDepth', 'TinyAutoencoder', 'TinyReferenceEncoders', 'WordEmbeddings']
