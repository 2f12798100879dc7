"""Which noise levels flow matching is trained at, and the times that the network is told."""

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from motionlab.utils import ConfigError
from motionlab.utils.random import batch_rand, batch_randn

DENSITIES = ('logit_normal', 'uniform', 'mode')
NUM_TIMES = 1000  # The network's times are 1000 sigma.

Number = TypeVar('Number', float, np.ndarray, Tensor)


def shift_sigma(sigma: Number, shift: float) -> Number:
    """``shift sigma / (1 + (shift - 1) sigma)``: more noise at the same place for ``shift`` above 1 (Esser et al.,
    "Scaling Rectified Flow Transformers", ICML 2024).
    """
    return shift * sigma / (1 + (shift - 1) * sigma)


def sigma_table(shift: float = 1.0) -> Tensor:
    """(1000,) float64 noise levels of the original's discrete training: i / 1000, shifted.

    Rounded as there, where each is one minus the share of the frame in NumPy's arithmetic.
    """
    return torch.from_numpy(shift_sigma(1 - np.linspace(1, 1 / NUM_TIMES, NUM_TIMES), shift))


def timestep_density(draws: Tensor, density: str = 'logit_normal', mean: float = 0.0, std: float = 1.0,
                     mode_scale: float = 1.29) -> Tensor:
    """Places on the unshifted path, by the densities of Esser et al. (2024).

    Args:
        draws: Standard normal numbers for ``'logit_normal'``, uniform numbers of [0, 1) for the others.
        density: ``'logit_normal'``: ``sigmoid(mean + std draw)``; ``'uniform'``: the draw; ``'mode'``:
            ``1 - d - mode_scale (cos^2(pi d / 2) - 1 + d)``.
        mean: Of the logit.
        std: Of the logit.
        mode_scale: 0 is uniform; above 0 the middle is favoured, below 0 the ends are. The map is one to one for
            values of -1 to 2 / (pi - 2).

    Returns:
        As ``draws``, in [0, 1].

    Raises:
        ConfigError: an unknown density.
    """
    if density == 'logit_normal':
        return torch.sigmoid(mean + std * draws)
    if density == 'uniform':
        return draws
    if density == 'mode':
        return 1 - draws - mode_scale * (torch.cos(torch.pi * draws / 2) ** 2 - 1 + draws)
    raise ConfigError(f'density: found {density!r}, expected one of {DENSITIES}.')


class FlowSchedule(nn.Module):
    """Draws noise levels sigma and the times that belong to them: ``x_t = (1 - sigma) x0 + sigma noise``.

    Nothing of it is part of a checkpoint.

    Args:
        shift: Of the noise levels; 1 leaves them.
        density: One of :data:`DENSITIES`, see :func:`timestep_density`.
        logit_mean: See there.
        logit_std: See there.
        mode_scale: See there.
        discrete: Train as the original does: levels from the table of 1000, ``floor(1000 u)``, and times cut to whole
            numbers. By default levels are continuous and times exact.

    Raises:
        ConfigError: an unknown density, or a number out of range.
    """

    def __init__(self, shift: float = 1.0, density: str = 'logit_normal', logit_mean: float = 0.0,
                 logit_std: float = 1.0, mode_scale: float = 1.29, discrete: bool = False):
        super().__init__()
        if density not in DENSITIES:
            raise ConfigError(f'FlowSchedule: found density={density!r}, expected one of {DENSITIES}.')
        if not 0 < shift < float('inf') or not 0 < logit_std < float('inf'):
            raise ConfigError(f'FlowSchedule: found shift={shift}, logit_std={logit_std}; expected numbers above 0.')
        if not -1 <= mode_scale <= 2 / (torch.pi - 2):
            raise ConfigError(f'FlowSchedule: found mode_scale={mode_scale}, expected -1 to 1.75.')
        self.shift, self.density, self.discrete = shift, density, discrete
        self.logit_mean, self.logit_std, self.mode_scale = logit_mean, logit_std, mode_scale
        table = sigma_table(shift)
        self.register_buffer('sigmas', table.float(), persistent=False)                    # (1000,)
        self.register_buffer('times', (NUM_TIMES * table).floor().float(), persistent=False)  # (1000,)

    def draw(self, size: int, device: torch.device | str = 'cpu') -> tuple[Tensor, Tensor]:
        """Noise levels (B,) and times (B,) for a training batch.

        They come from the batch stream: they do not depend on how many processes share the batch.
        """
        sample = batch_randn if self.density == 'logit_normal' else batch_rand
        return self.at(sample((size,), device))

    def at(self, draws: Tensor) -> tuple[Tensor, Tensor]:
        """Draws (B,), see :func:`timestep_density`, -> noise levels (B,) and times (B,) of 0 to 1000, float32."""
        place = timestep_density(draws, self.density, self.logit_mean, self.logit_std, self.mode_scale)  # (B,)
        if self.discrete:
            index = (NUM_TIMES * place).long().clamp(0, NUM_TIMES - 1)  # A place of exactly 1 is rare, but one.
            return self.sigmas[index], self.times[index]
        sigma = shift_sigma(place.float(), self.shift)
        return sigma, NUM_TIMES * sigma
