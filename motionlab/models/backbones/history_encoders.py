"""Networks that merge the latents of past frames into one map, as the published game models do."""

import itertools
import math
from collections.abc import Callable

from torch import Tensor, nn

from motionlab.utils import ConfigError, DataError

HISTORY_ENCODERS = ('conv2d4', 'conv2d2', 'conv3d')
NORMS = ('group', 'batch')


def build_history_encoder(kind: str, in_channels: int, num_frames: int, out_channels: int,
                          hidden_channels: int | None = None, norm: str = 'group') -> nn.Module:
    """One of :data:`HISTORY_ENCODERS`: (B, T C, h, w), frames oldest first -> (B, C', h, w).

    Args:
        kind: ``'conv2d4'``, ``'conv2d2'`` or ``'conv3d'``.
        in_channels: Channels of all frames together, T C.
        num_frames: T.
        out_channels: C'.
        hidden_channels: Width; None: half of the input channels for the 2D ones, 12 for conv3d.
        norm: ``'group'``, or ``'batch'`` as published: then samples depend on their batch in training.

    Raises:
        ConfigError: unknown names, or a width that leaves no channel.
    """
    for name, value, known in (('history', kind, HISTORY_ENCODERS), ('norm', norm, NORMS)):
        if value not in known:
            raise ConfigError(f'history encoder: found {name}={value!r}, expected one of {known}.')
    if kind == 'conv3d':
        return Conv3dHistory(in_channels // num_frames, num_frames, out_channels, hidden_channels or 12, norm)
    return Conv2dHistory(in_channels, out_channels, hidden_channels or in_channels // 2, norm,
                         num_layers=4 if kind == 'conv2d4' else 2)


class Conv2dHistory(nn.Module):
    """3x3 convolutions over all frames at once, each with a norm, that narrow to one frame.

    Args:
        in_channels: Of all frames together.
        out_channels: Of the result.
        hidden_channels: Width after the first convolution; with 4 layers it is halved twice.
        norm: ``'group'`` or ``'batch'``.
        num_layers: 4 or 2.

    Raises:
        ConfigError: halving leaves no channel.
    """

    def __init__(self, in_channels: int, out_channels: int, hidden_channels: int, norm: str = 'group',
                 num_layers: int = 4):
        super().__init__()
        widths = [in_channels, *(hidden_channels // 2 ** i for i in range(num_layers - 1)), out_channels]
        if min(widths) < 1:
            raise ConfigError(f'Conv2dHistory: found channels {widths} of {num_layers} layers, expected at least 1 '
                              'each: raise the number of frames or hidden_channels.')
        self.in_channels = in_channels
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            conv = nn.Conv2d(before, after, 3, padding=1)
            nn.init.kaiming_normal_(conv.weight, mode='fan_out', nonlinearity='relu')
            nn.init.zeros_(conv.bias)
            layers += [conv, _norm(norm, after, nn.BatchNorm2d), nn.ReLU()]
        self.conv_layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """(B, T C, h, w) or (B, T, C, h, w) -> (B, C', h, w); DataError for other shapes."""
        return self.conv_layers(_frames_as_channels(x, self.in_channels))


class Conv3dHistory(nn.Module):
    """Two 3x3x3 convolutions over space and time beside a 1x1x1 one, then a 3x3 one over all frames.

    Args:
        in_channels: Of one frame, C.
        num_frames: T.
        out_channels: Of the result.
        hidden_channels: Width of a frame in between.
        norm: ``'group'`` or ``'batch'``.
    """

    def __init__(self, in_channels: int, num_frames: int, out_channels: int, hidden_channels: int = 12,
                 norm: str = 'group'):
        super().__init__()
        self.in_channels, self.num_frames = in_channels * num_frames, num_frames
        layers: list[nn.Module] = []
        for before in (in_channels, hidden_channels):
            layers += [nn.Conv3d(before, hidden_channels, 3, padding=1), _norm(norm, hidden_channels, nn.BatchNorm3d),
                       nn.ReLU()]
        self.conv3d = nn.Sequential(*layers)
        self.skip_conv = nn.Conv3d(in_channels, hidden_channels, 1)
        self.conv2d = nn.Conv2d(hidden_channels * num_frames, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T C, h, w) or (B, T, C, h, w) -> (B, C', h, w); DataError for other shapes."""
        frames = _frames_as_channels(x, self.in_channels).unflatten(1, (self.num_frames, -1))  # (B, T, C, h, w)
        frames = frames.transpose(1, 2)                                                    # (B, C, T, h, w)
        merged = self.conv3d(frames) + self.skip_conv(frames)                              # (B, hd, T, h, w)
        return self.conv2d(merged.transpose(1, 2).flatten(1, 2))


def _frames_as_channels(x: Tensor, channels: int) -> Tensor:
    flat = x.flatten(1, 2) if x.ndim == 5 else x
    if flat.ndim != 4 or flat.shape[1] != channels:
        raise DataError('batch', 'history', tuple(x.shape), f'shape (B, {channels}, h, w), or (B, T, C, h, w) with T C '
                        f'= {channels}')
    return flat


def _norm(kind: str, channels: int, batch_norm: Callable[[int], nn.Module]) -> nn.Module:
    return batch_norm(channels) if kind == 'batch' else nn.GroupNorm(math.gcd(channels, 8), channels)
