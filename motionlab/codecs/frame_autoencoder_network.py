"""A small convolutional autoencoder of game frames, to be trained from scratch."""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from motionlab.registry import BACKBONES
from motionlab.utils import CheckpointError, ConfigError


class ConvBlock(nn.Module):
    """Two 3 x 3 convolutions around a residual, without normalisation: colours of a game are exact.

    Args:
        channels: In and out.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w), same shape."""
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


@BACKBONES.register_module()
class FrameAutoencoderNetwork(nn.Module):
    """Halves the picture once per stage, each time moving 2 x 2 positions into channels, and back the same way.

    Args:
        latent_channels: C.
        widths: Channels of every stage, from fine to coarse.
        num_blocks: Residual blocks per stage.
        in_channels: 3, of RGB.

    Attributes:
        factor: Pixels per latent position, along each side: 2 to the number of stages.
        out_channels: As ``in_channels``.
        encoder_config: What decides about latents beside the weights of ``encoder``: nothing.

    Raises:
        ConfigError: a number below 1, no stage, or other than 3 channels in.
    """

    def __init__(self, latent_channels: int = 8, widths: Sequence[int] = (32, 64), num_blocks: int = 1,
                 in_channels: int = 3):
        super().__init__()
        if min(latent_channels, num_blocks, *widths, len(widths)) < 1 or in_channels != 3:
            raise ConfigError(f'FrameAutoencoderNetwork: found {latent_channels=}, widths={tuple(widths)}, '
                              f'{num_blocks=}, {in_channels=}; expected positive numbers, at least one width, and 3 '
                              'channels in.')
        self.in_channels = self.out_channels = in_channels
        self.latent_channels, self.factor, self.encoder_config = latent_channels, 2 ** len(widths), {}
        down, up, fine = [], [], in_channels
        for width in widths:
            down += [nn.PixelUnshuffle(2), nn.Conv2d(4 * fine, width, 3, padding=1),
                     *(ConvBlock(width) for _ in range(num_blocks))]
            up = [*(ConvBlock(width) for _ in range(num_blocks)), nn.Conv2d(width, 4 * fine, 3, padding=1),
                  nn.PixelShuffle(2)] + up
            fine = width
        self.encoder = nn.Sequential(*down, nn.Conv2d(fine, latent_channels, 3, padding=1))
        self.decoder = nn.Sequential(nn.Conv2d(latent_channels, fine, 3, padding=1), *up)
        self.apply(_initialise)

    def encode(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> (N, C, h, w)."""
        return self.encoder(images)

    def decode(self, latents: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, 3, H, W), about [-1, 1]."""
        return self.decoder(latents)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> its reconstruction."""
        return self.decode(self.encode(images))

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor], source: object) -> 'FrameAutoencoderNetwork':
        """A network with these weights; all sizes are read off their shapes.

        Args:
            weights: Its state dict.
            source: File that errors name.

        Raises:
            CheckpointError: the weights are of another network.
        """
        kernels = {int(number): value for name, value in weights.items() for number in
                   re.findall(r'^encoder\.(\d+)\.weight$', name) if value.ndim == 4}
        blocks = {name for name in weights if re.fullmatch(r'encoder\.\d+\.conv1\.weight', name)}
        widths = [len(kernels[number]) for number in sorted(kernels)]
        if len(widths) < 2 or not blocks or len(blocks) % (len(widths) - 1):
            raise CheckpointError(f'{source}: holds no weights of a FrameAutoencoderNetwork: found {len(widths)} '
                                  f'convolutions and {len(blocks)} blocks under encoder.')
        with torch.device('meta'):
            network = cls(widths[-1], widths[:-1], len(blocks) // (len(widths) - 1))
        return assign_weights(network, weights, source)


def _initialise(module: nn.Module) -> None:
    """Spread is the same behind every layer, and blocks begin as the identity: there is no normalisation to help."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity='linear')
        nn.init.zeros_(module.bias)
    elif isinstance(module, ConvBlock):  # After its convolutions.
        nn.init.kaiming_normal_(module.conv1.weight, nonlinearity='relu')
        nn.init.zeros_(module.conv2.weight)


def assign_weights(network: nn.Module, weights: Mapping[str, Tensor], source: object) -> nn.Module:
    """The network, built on the meta device, with ``weights`` in place.

    Raises:
        CheckpointError: a weight is missing, unknown, or of another shape; tells how many and the first.
    """
    own = network.state_dict()
    problems = [f'{name} is missing' for name in own.keys() - weights.keys()]
    problems += [f'{name} is unknown' for name in weights.keys() - own.keys()]
    problems += [f'{name} has shape {tuple(weights[name].shape)}, expected {tuple(own[name].shape)}'
                 for name in own.keys() & weights.keys() if own[name].shape != weights[name].shape]
    if problems:
        raise CheckpointError(f'{source}: does not hold the weights of this {type(network).__name__}: {len(problems)} '
                              f'of {len(own)} do not fit, first: {min(problems)}.')
    network.load_state_dict(weights, assign=True)
    return network
