"""Narrow wide per-joint feature blocks before a network mixes the joints."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from motionlab.utils import ConfigError


class FeatureProjection(nn.Module):
    """Channels base | block | block ... of every joint -> base | projected block | ... (AugLift, arXiv 2508.07112).

    Each block has one linear layer, shared by all joints and frames. Without blocks it is the identity and holds no
    weights.

    Args:
        in_channels: All channels of a joint, blocks included.
        feature_channels: Sizes of the blocks, in the order in which they end the channels.
        projected_channels: Width of every projected block.

    Attributes:
        out_channels: Channels of the result.

    Raises:
        ConfigError: the blocks leave no base channel.
    """

    def __init__(self, in_channels: int, feature_channels: Sequence[int] = (), projected_channels: int = 16):
        super().__init__()
        self.base_channels = in_channels - sum(feature_channels)
        if self.base_channels < 1:
            raise ConfigError(f'FeatureProjection: found in_channels={in_channels} with '
                              f'feature_channels={tuple(feature_channels)}, expected base channels besides the blocks.')
        self.sizes = [self.base_channels, *feature_channels]
        self.blocks = nn.ModuleList(nn.Linear(size, projected_channels) for size in feature_channels)
        self.out_channels = self.base_channels + projected_channels * len(feature_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_channels) -> (..., out_channels)."""
        if not self.blocks:
            return x
        base, *features = x.split(self.sizes, dim=-1)
        return torch.cat([base, *(block(part) for block, part in zip(self.blocks, features))], dim=-1)
