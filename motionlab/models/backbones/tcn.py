"""Temporal convolutions over joint sequences (VideoPose3D)."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motionlab.models.backbones.joint_sequences import check_joint_sequences
from motionlab.models.layers import BatchDropout, FeatureProjection, PreciseBatchNorm1d, precise_linear
from motionlab.registry import BACKBONES
from motionlab.utils import ConfigError


class _ConvNorm(nn.Module):
    """Convolution over time, batch norm, ReLU, dropout.

    Runs as one matrix product per call on frames that lie one after the other in memory: on a CPU training is nearly
    three times as fast as with ``conv1d``. The weight keeps the shape of ``nn.Conv1d``, (out, in, kernel).
    """

    def __init__(self, in_channels: int, channels: int, kernel_size: int, dropout: float, bn_momentum: float):
        super().__init__()
        self.conv = nn.Conv1d(in_channels, channels, kernel_size, bias=False)
        self.norm = PreciseBatchNorm1d(channels, momentum=bn_momentum)
        self.dropout = BatchDropout(dropout)

    def forward(self, x: Tensor, strided: bool = False, dilation: int = 1) -> Tensor:
        """(B, T, in) -> (B, T / kernel, ch) strided, (B, T - (kernel - 1) * dilation, ch) otherwise."""
        kernel_size = self.conv.kernel_size[0]
        if strided:
            taps = x.unflatten(1, (-1, kernel_size)).flatten(2)                            # (B, T', kernel * in)
        else:
            length = x.shape[1] - (kernel_size - 1) * dilation
            taps = torch.cat([x[:, i * dilation:i * dilation + length] for i in range(kernel_size)], dim=-1)
        x = precise_linear(taps, self.conv.weight.transpose(1, 2).flatten(1))              # (B, T', ch)
        x = self.norm(x.transpose(1, 2)).transpose(1, 2)
        return self.dropout(F.relu(x))


class _ResidualBlock(nn.Module):
    """One temporal and one pointwise convolution around a skip connection that is cropped to fit."""

    def __init__(self, channels: int, kernel_size: int, dilation: int, causal: bool, dropout: float,
                 bn_momentum: float):
        super().__init__()
        self.kernel_size, self.dilation, self.causal = kernel_size, dilation, causal
        self.temporal = _ConvNorm(channels, channels, kernel_size, dropout, bn_momentum)
        self.pointwise = _ConvNorm(channels, channels, 1, dropout, bn_momentum)

    def forward(self, x: Tensor, strided: bool) -> Tensor:
        half = self.kernel_size // 2
        if strided:
            skip = x[:, 2 * half if self.causal else half::self.kernel_size]               # (B, T / k, ch)
        else:
            pad = half * self.dilation
            skip = x[:, 2 * pad:] if self.causal else x[:, pad:x.shape[1] - pad]           # (B, T - 2 pad, ch)
        return skip + self.pointwise(self.temporal(x, strided, self.dilation))


@BACKBONES.register_module()
class TCN(nn.Module):
    """Temporal convolutional network of VideoPose3D.

    Pavllo et al., "3D human pose estimation in video with temporal convolutions and semi-supervised training", CVPR
    2019. ``kernel_sizes=(1, 1, 1)`` with dropout 0.5 is the SimpleBaseline (Martinez et al., ICCV 2017).

    The same weights have two forms, chosen by the length of the input. A window of exactly ``receptive_field`` frames
    runs *strided*: nothing is computed that its one output does not need. Longer inputs run *dilated* and give one
    output for every full window in them. In evaluation mode both give the same numbers; while training, batch norm
    averages over the positions that the form computes, as in the original. Weights start from PyTorch's defaults, as
    the original's do.

    Args:
        in_channels: Channels per joint, feature blocks included.
        num_joints: Joints per frame.
        channels: Width.
        kernel_sizes: Odd; the first belongs to the input layer, each further one to a residual block.
        dropout: Probability of dropping a feature.
        causal: Outputs belong to the last frame of their window instead of the middle one.
        bn_momentum: Weight of the newest batch in the running statistics.
        max_norm: Upper bound of every convolution weight's Frobenius norm, enforced before each forward; None for none.
        feature_channels: Sizes of the feature blocks at the end of the channels; each is projected by a linear layer.
        feature_proj_dim: Width of every projected block.

    Attributes:
        receptive_field: Frames that one output sees.
        out_channels: Width of the features.
        pools_window: False: outputs have a time axis, also where it holds one frame.

    Raises:
        ConfigError: a kernel size is even.
    """

    pools_window = False

    def __init__(self, in_channels: int = 2, num_joints: int = 17, channels: int = 1024,
                 kernel_sizes: Sequence[int] = (3, 3, 3), dropout: float = 0.25, causal: bool = False,
                 bn_momentum: float = 0.1, max_norm: float | None = None, feature_channels: Sequence[int] = (),
                 feature_proj_dim: int = 16):
        super().__init__()
        if not kernel_sizes or any(size % 2 == 0 for size in kernel_sizes):
            raise ConfigError(f'TCN: found kernel_sizes={tuple(kernel_sizes)}, expected odd numbers, at least one.')
        self.in_channels, self.num_joints, self.out_channels = in_channels, num_joints, channels
        self.causal, self.max_norm = causal, max_norm
        self.receptive_field = math.prod(kernel_sizes)
        self.project = FeatureProjection(in_channels, feature_channels, feature_proj_dim)
        self.expand = _ConvNorm(num_joints * self.project.out_channels, channels, kernel_sizes[0], dropout, bn_momentum)
        dilations = [math.prod(kernel_sizes[:i]) for i in range(1, len(kernel_sizes))]
        self.blocks = nn.ModuleList(
            _ResidualBlock(channels, size, dilation, causal, dropout, bn_momentum)
            for size, dilation in zip(kernel_sizes[1:], dilations))

    def forward(self, inputs: Tensor) -> Tensor:
        """Joint sequences -> features.

        Args:
            inputs: (B, T, K, C); K and C as built, T at least ``receptive_field``.

        Returns:
            (B, T - receptive_field + 1, channels).

        Raises:
            DataError: joints, channels or frames do not fit.
        """
        check_joint_sequences('TCN', inputs, self.num_joints, self.in_channels, self.receptive_field)
        if self.max_norm is not None:
            self._clip_weights()
        strided = inputs.shape[1] == self.receptive_field
        x = self.expand(self.project(inputs).flatten(2), strided)                          # (B, T', ch)
        for block in self.blocks:
            x = block(x, strided)
        return x

    @torch.no_grad()
    def _clip_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv1d):
                norm = module.weight.norm()
                module.weight.mul_(torch.clamp(self.max_norm / norm, max=1))
