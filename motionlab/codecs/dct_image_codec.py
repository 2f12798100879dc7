"""A stand-in for FLUX's autoencoder that needs no weights: the low frequencies of small blocks."""

import math

import torch
from torch import Tensor, nn

from motionlab.registry import CODECS

_BLOCK = 4
_OPPONENT = ((1.0, 1.0, 1.0), (1.0, -1.0, 0.0), (1.0, 1.0, -2.0))  # Brightness, red - green, yellow - blue.
_KEPT = (  # (rows, columns) frequencies that are kept of each: 6 + 5 + 5 channels.
    ((0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (2, 0)),
    ((0, 0), (0, 1), (1, 0), (1, 1), (0, 2)),
    ((0, 0), (0, 1), (1, 0), (1, 1), (2, 0)),
)
_MEAN = (-0.083, *(0.0,) * 15)  # Of 1500 embedded scenes.
_STD = (1.496, 0.366, 0.361, 0.209, 0.197, 0.197, 1.187, 0.284, 0.278, 0.142, 0.135, 1.144, 0.275, 0.27, 0.139, 0.133)


@CODECS.register_module()
class DctImageCodec(nn.Module):
    """4 x 4 orthonormal discrete cosine transform of opponent colours; 16 of 48 coefficients are kept, normalised.

    Latents have the shape of FLUX's, (B, 16, h, w), at a quarter of the picture's size. Linear, so differentiable.
    Mean and deviation of every channel are those of the embedded scenes.

    Attributes:
        id: Names what decides about latents.
        latent_channels: 16.
        factor: Pixels per latent position, 4.
        dtype: In which it computes.
        scale: (16, 1, 1) what latents are multiplied by, after
        shift: (16, 1, 1) is subtracted.
    """

    latent_channels, factor = 16, _BLOCK
    id, dtype = 'motionlab/dct-4x4-v1', torch.float32

    def __init__(self):
        super().__init__()
        self.register_buffer('kernels', _kernels(), persistent=False)                      # (16, 3, 4, 4)
        self.register_buffer('shift', torch.tensor(_MEAN).view(-1, 1, 1), persistent=False)
        self.register_buffer('scale', 1 / torch.tensor(_STD).view(-1, 1, 1), persistent=False)

    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] -> (B, 16, H/4, W/4), not scaled."""
        return nn.functional.conv2d(images, self.kernels, stride=_BLOCK)

    def decode(self, latents: Tensor) -> Tensor:
        """(B, 16, h, w), not scaled -> (B, 3, 4h, 4w), about [-1, 1]."""
        return nn.functional.conv_transpose2d(latents, self.kernels, stride=_BLOCK)


def _kernels() -> Tensor:
    """(16, 3, 4, 4) orthonormal patterns."""
    place = torch.arange(_BLOCK, dtype=torch.float64)
    cosines = torch.cos(math.pi * (2 * place + 1) * place[:, None] / (2 * _BLOCK))         # (frequency, place)
    cosines = cosines / cosines.norm(dim=1, keepdim=True)
    colours = torch.tensor(_OPPONENT, dtype=torch.float64)
    colours = colours / colours.norm(dim=1, keepdim=True)
    patterns = [colour[:, None, None] * cosines[row][:, None] * cosines[column]
                for colour, kept in zip(colours, _KEPT) for row, column in kept]
    return torch.stack(patterns).float()
