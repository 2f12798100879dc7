"""Networks: tensors in, features out."""

from motionlab.models.backbones.frame_dit import FrameDiT
from motionlab.models.backbones.layout_flux import LayoutFlux
from motionlab.models.backbones.layout_flux_legacy import LegacyLayoutFlux
from motionlab.models.backbones.motion_dit import MotionDiT
from motionlab.models.backbones.pixel_dit import PixelDiT
from motionlab.models.backbones.poseformer import PoseFormer
from motionlab.models.backbones.sana import SanaDiT
from motionlab.models.backbones.tcn import TCN
from motionlab.models.backbones.vposer import VPoser

__all__ = ['TCN', 'FrameDiT', 'LayoutFlux', 'LegacyLayoutFlux', 'MotionDiT', 'PixelDiT', 'PoseFormer', 'SanaDiT',
           'VPoser']
