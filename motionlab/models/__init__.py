"""Task models and their parts."""

from motionlab.models import backbones, heads, layers, losses
from motionlab.models.base_task_model import BaseTaskModel
from motionlab.models.data_preprocessor import BatchPreprocessor
from motionlab.models.frame_autoencoder import FrameAutoencoder
from motionlab.models.frame_predictor import FramePredictor
from motionlab.models.frame_rollout import FrameOptions, FrameRollout
from motionlab.models.layout_diffuser import LayoutDiffuser
from motionlab.models.layout_sampling import LayoutImages, LayoutOptions, SamplingShift, generate_images
from motionlab.models.motion_diffuser import MotionDiffuser
from motionlab.models.pose_lifter import PoseLifter
from motionlab.models.pose_prior import PosePrior

__all__ = ['BaseTaskModel', 'BatchPreprocessor', 'FrameAutoencoder', 'FrameOptions', 'FramePredictor', 'FrameRollout',
           'LayoutDiffuser', 'LayoutImages', 'LayoutOptions', 'MotionDiffuser', 'PoseLifter', 'PosePrior',
           'SamplingShift', 'backbones', 'generate_images', 'heads', 'layers', 'losses']
