"""Stand-ins for CLIP's and DINO's image encoders that need no weights: colours and edges, fixed random projections."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from motionlab.registry import CODECS

_LEVELS = 3                   # Of a colour channel: 27 bins.
_GRID = 4                     # Cells along each side, beside the whole picture.
_ORIENTATIONS = 4
_WAVELENGTHS = (4.0, 8.0)     # Of filters, px.
_FILTER = 9                   # Their side, px.
_EPSILON = 1e-6               # Under roots: their gradient stays finite at 0.
_EDGE_WEIGHT = 0.5
_BLUR = 4                     # The CLIP stand-in sees a picture this many times coarser.
_SEED = 7


@CODECS.register_module()
class TinyReferenceEncoders(nn.Module):
    """Embeddings of reference pictures: ``dino`` with texture, ``clip`` of a coarse picture.

    Each is a fixed random projection of a soft 27-bin colour histogram (of the whole picture and of 4 x 4 cells) and
    of the energy of oriented filters in the same places, L2-normed. Differentiable.

    Attributes:
        size: Side in px of the pictures it takes.
        clip_dim: 64.
        dino_dim: 128.
        dtype: In which it computes.
        clip_id, dino_id: Name what decides about embeddings.
    """

    size, clip_dim, dino_dim, dtype = 32, 64, 128, torch.float32
    clip_id, dino_id = 'motionlab/tiny-clip-v1', 'motionlab/tiny-dino-v1'

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(_SEED)
        places = 1 + _GRID ** 2
        colours, edges = places * _LEVELS ** 3, places * _ORIENTATIONS * len(_WAVELENGTHS)
        for name, dim in (('dino', self.dino_dim), ('clip', self.clip_dim)):
            projection = torch.randn(colours + edges, dim, generator=generator) / math.sqrt(dim)
            self.register_buffer(f'{name}_projection', projection, persistent=False)
        self.register_buffer('filters', _oriented_filters(), persistent=False)             # (2 K, 1, 9, 9)

    def encode_dino(self, crops: Tensor) -> Tensor:
        """(M, 3, S, S) in [0, 1] -> (M, 128) of length 1."""
        return functional.normalize(_features(crops, self.filters) @ self.dino_projection, dim=-1)

    def encode_clip(self, crops: Tensor) -> Tensor:
        """(M, 3, S, S) in [0, 1] -> (M, 64) of length 1."""
        coarse = functional.interpolate(functional.avg_pool2d(crops, _BLUR), scale_factor=_BLUR, mode='bilinear')
        return functional.normalize(_features(coarse, self.filters) @ self.clip_projection, dim=-1)


def _features(crops: Tensor, filters: Tensor) -> Tensor:
    """(M, 3, S, S) -> (M, F): shares of colours and energies of edges."""
    levels = torch.linspace(0, 1, _LEVELS, device=crops.device).view(-1, 1, 1)
    near = (1 - (crops[:, :, None] - levels).abs() * (_LEVELS - 1)).clamp(min=0)           # (M, 3, L, S, S)
    red, green, blue = near.unbind(1)
    bins = torch.einsum('mrhw,mghw,mbhw->mrgbhw', red, green, blue).flatten(1, 3)          # (M, 27, S, S)
    padding = filters.shape[-1] // 2
    grey = functional.pad(crops.mean(dim=1, keepdim=True), (padding,) * 4, mode='replicate')
    even, odd = functional.conv2d(grey, filters).chunk(2, dim=1)                           # (M, K, S, S)
    energy = even.square() + odd.square()
    return torch.cat([_pooled(bins), _EDGE_WEIGHT * _pooled(energy)], dim=1)


def _pooled(maps: Tensor) -> Tensor:
    """(M, K, S, S) -> (M, 17 K): roots of means over the whole picture and over its cells."""
    cells = functional.adaptive_avg_pool2d(maps, _GRID).flatten(2)                         # (M, K, 16)
    means = torch.cat([cells.mean(dim=2, keepdim=True) * _GRID, cells], dim=2)
    return (means + _EPSILON).sqrt().flatten(1)


def _oriented_filters() -> Tensor:
    """(2 K, 1, 9, 9): even, then odd Gabor filters without a constant part."""
    place = torch.arange(_FILTER) - _FILTER // 2.0
    y, x = torch.meshgrid(place, place, indexing='ij')
    even, odd = [], []
    for wavelength in _WAVELENGTHS:
        window = torch.exp(-(x ** 2 + y ** 2) / (2 * (wavelength / 2) ** 2))
        for number in range(_ORIENTATIONS):
            angle = math.pi * number / _ORIENTATIONS
            wave = 2 * math.pi / wavelength * (x * math.cos(angle) + y * math.sin(angle))
            cosine = window * (wave.cos() - (window * wave.cos()).sum() / window.sum())
            even.append(cosine / window.sum())
            odd.append(window * wave.sin() / window.sum())
    return torch.stack(even + odd)[:, None]
