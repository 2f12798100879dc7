"""VPoser: the encoder and decoder of a variational autoencoder over body poses."""

import torch.nn.functional as F
from torch import Tensor, nn

from motionlab.models.constant_inputs import CONSTANT_BELOW
from motionlab.models.layers import BatchDropout, PreciseBatchNorm1d, precise_linear
from motionlab.registry import BACKBONES
from motionlab.utils import ConfigError

LEAKY_SLOPES = {1: 0.2, 2: 0.01}

# Modules of the published v1 (cvpr19) and their places here.
V1_MODULES = {
    'bodyprior_enc_bn1': 'encoder_net.1', 'bodyprior_enc_fc1': 'encoder_net.2', 'bodyprior_enc_bn2': 'encoder_net.4',
    'bodyprior_enc_fc2': 'encoder_net.6', 'bodyprior_enc_mu': 'encoder_net.8.mu',
    'bodyprior_enc_logvar': 'encoder_net.8.logvar', 'bodyprior_dec_fc1': 'decoder_net.0',
    'bodyprior_dec_fc2': 'decoder_net.3', 'bodyprior_dec_out': 'decoder_net.5',
}


class _Linear(nn.Linear):
    """``nn.Linear`` whose weight gradients do not depend on how many processes share the batch."""

    def forward(self, input: Tensor) -> Tensor:
        return precise_linear(input, self.weight, self.bias)


class _NormalHead(nn.Module):
    """Two linear layers: mean and, through softplus, standard deviation (published under the name ``logvar``)."""

    def __init__(self, in_channels: int, latent_dim: int):
        super().__init__()
        self.mu = _Linear(in_channels, latent_dim)
        self.logvar = _Linear(in_channels, latent_dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.mu(x), F.softplus(self.logvar(x))                                      # (B, L), (B, L)


@BACKBONES.register_module()
class VPoser(nn.Module):
    """VPoser v2 (2020, "V02_05") or v1 (2019), with the parameter names that v2 was published with.

    Pavlakos et al., "Expressive body capture: 3D hands, face, and body from a single image", CVPR 2019, and
    human_body_prior. Version 2: BN - Linear - LeakyReLU(0.01) - BN - Dropout - Linear - Linear - (mean, scale), and
    Linear - LeakyReLU - Dropout - Linear - LeakyReLU - Linear. Version 1: LeakyReLU(0.2), and in the encoder one
    activation in the place of the second of the three linear layers. Weights start from PyTorch's defaults, as the
    originals' do.

    Args:
        version: 2 or 1.
        in_channels: Numbers of a pose, 3 for each of 21 joints.
        out_channels: Numbers of an answer, 6 for each joint.
        latent_dim: L, size of the latent space.
        num_neurons: H, width of the hidden layers.
        dropout: Probability of dropping a feature, in encoder and decoder.
        zero_constant_inputs: In evaluation mode the encoder reads 0 where training saw no variance (toes, see
            :mod:`motionlab.models.constant_inputs`). The original does not.

    Raises:
        ConfigError: an unknown version.
    """

    def __init__(self, version: int = 2, in_channels: int = 63, out_channels: int = 126, latent_dim: int = 32,
                 num_neurons: int = 512, dropout: float = 0.1, zero_constant_inputs: bool = False):
        super().__init__()
        if version not in LEAKY_SLOPES:
            raise ConfigError(f'VPoser: found version={version!r}, expected one of {sorted(LEAKY_SLOPES)}.')
        self.version, self.latent_dim, self.num_neurons = version, latent_dim, num_neurons
        self.in_channels, self.out_channels = in_channels, out_channels
        self.zero_constant_inputs = zero_constant_inputs
        slope = LEAKY_SLOPES[version]
        self.encoder_net = nn.Sequential(
            nn.Flatten(),
            PreciseBatchNorm1d(in_channels),
            _Linear(in_channels, num_neurons),
            nn.LeakyReLU(slope),
            PreciseBatchNorm1d(num_neurons),
            BatchDropout(dropout),
            _Linear(num_neurons, num_neurons),
            _Linear(num_neurons, num_neurons) if version == 2 else nn.LeakyReLU(slope),
            _NormalHead(num_neurons, latent_dim))
        self.decoder_net = nn.Sequential(
            _Linear(latent_dim, num_neurons),
            nn.LeakyReLU(slope),
            BatchDropout(dropout),
            _Linear(num_neurons, num_neurons),
            nn.LeakyReLU(slope),
            _Linear(num_neurons, out_channels))

    @property
    def input_norm(self) -> nn.BatchNorm1d:
        """The batch norm of the inputs; what never changed in training has a running variance of about 0 there."""
        return self.encoder_net[1]

    def encode(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Poses (B, 63) -> mean and standard deviation of the posterior, (B, L) each."""
        if self.zero_constant_inputs and not self.training:
            inputs = inputs.masked_fill(self.input_norm.running_var < CONSTANT_BELOW, 0)
        return self.encoder_net(inputs)

    def decode(self, latent: Tensor) -> Tensor:
        """Latent (B, L) -> 6 numbers a joint, (B, 126)."""
        return self.decoder_net(latent)

    def forward(self, inputs: Tensor) -> Tensor:
        """Reconstruct by the posterior mean: (B, 63) -> (B, 126)."""
        return self.decode(self.encode(inputs)[0])
