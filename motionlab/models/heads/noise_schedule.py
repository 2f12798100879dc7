"""When noise is added in diffusion, how much, and how it is taken off again."""

import logging
import math
from functools import lru_cache
from typing import NamedTuple

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from motionlab.utils import ConfigError

SPACINGS = ('leading', 'trailing')
_TRAINED_ON_NOISE = 0.8  # Share of the steps below which samples in training are no longer nearly pure noise.


class ReverseStep(NamedTuple):
    """One step back: ``x <- coef_x0 x0 + coef_xt x + sigma noise``.

    ``t`` is where x is, ``previous`` where it goes; below 0 that is the sample without noise, and ``sigma`` is 0.
    """

    t: int
    previous: int
    coef_x0: float
    coef_xt: float
    sigma: float


class NoiseSchedule(nn.Module):
    """Cosine schedule (Nichol and Dhariwal, ICML 2021) and ancestral sampling (Ho et al., DDPM, NeurIPS 2020).

    ``beta_i = min(1 - A((i + 1) / S) / A(i / S), 0.999)``, ``A(t) = cos^2((t + 0.008) / 1.008 pi / 2)``; noisy samples
    are ``sqrt(abar_t) x0 + sqrt(1 - abar_t) noise`` with ``abar`` the product of ``1 - beta``. Reverse steps take the
    posterior of the step before under a predicted x0, without clipping. Tables are in float32, as diffusers'
    ``DDPMScheduler(beta_schedule='squaredcos_cap_v2', prediction_type='sample', clip_sample=False)`` has them, whose
    steps these are; that scheduler takes neither guidance nor recorded noise nor a step for each sample, so it would
    not save anything. Nothing is part of a checkpoint.

    Args:
        num_timesteps: S.

    Raises:
        ConfigError: fewer than two steps.
    """

    def __init__(self, num_timesteps: int = 50):
        super().__init__()
        if num_timesteps < 2:
            raise ConfigError(f'NoiseSchedule: found num_timesteps={num_timesteps}, expected 2 or more.')
        self.num_timesteps = num_timesteps
        betas, kept = _tables(num_timesteps)
        self.register_buffer('betas', torch.tensor(betas), persistent=False)               # (S,)
        self.register_buffer('alphas_cumprod', torch.tensor(kept), persistent=False)       # (S,)
        self._warned: set[tuple[int, str]] = set()

    def add_noise(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Clean samples (B, ...), noise of that shape and steps (B,) -> noisy samples (B, ...)."""
        kept = self.alphas_cumprod[t].view(-1, *[1] * (x0.ndim - 1))                       # (B, 1 ...)
        return kept.sqrt() * x0 + (1 - kept).sqrt() * noise

    def reverse_steps(self, num_steps: int, spacing: str = 'leading') -> tuple[ReverseStep, ...]:
        """The steps of sampling, noisiest first.

        Args:
            num_steps: How many, 1 to S.
            spacing: ``'leading'`` counts in whole strides ``S // num_steps`` up from 0, as published models are
                sampled; where S is no multiple it starts well below S - 1, at noise levels that do not fit the pure
                noise it starts from, and this is warned of. ``'trailing'`` counts down from S - 1 in even strides.

        Raises:
            ConfigError: an unknown spacing, or a number of steps out of range.
        """
        if spacing not in SPACINGS or not 1 <= num_steps <= self.num_timesteps:
            raise ConfigError(f'NoiseSchedule: found num_steps={num_steps}, spacing={spacing!r}; expected 1 to '
                              f'{self.num_timesteps} steps and one of {SPACINGS}.')
        steps = _reverse_steps(self.num_timesteps, num_steps, spacing)
        first = steps[0].t
        if first < _TRAINED_ON_NOISE * self.num_timesteps and (num_steps, spacing) not in self._warned:
            self._warned.add((num_steps, spacing))
            kept = math.sqrt(_tables(self.num_timesteps)[1][first])
            print_log(f'Sampling in {num_steps} of {self.num_timesteps} steps begins at step {first}, where training '
                      f"samples still hold {kept:.2f} of the motion, with pure noise. spacing='trailing' begins at "
                      f'{self.num_timesteps - 1}.', 'current', logging.WARNING)
        return steps


@lru_cache
def _tables(num_timesteps: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """betas and their products abar, float32 values; on the CPU whatever device modules are built on."""
    def share(t: float) -> float:
        return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = torch.tensor([min(1 - share((i + 1) / num_timesteps) / share(i / num_timesteps), 0.999)
                          for i in range(num_timesteps)], device='cpu')                    # (S,)
    return tuple(betas.tolist()), tuple((1 - betas).cumprod(0).tolist())


@lru_cache
def _reverse_steps(num_timesteps: int, num_steps: int, spacing: str) -> tuple[ReverseStep, ...]:
    if spacing == 'leading':
        stride = num_timesteps // num_steps
        times = [stride * i for i in reversed(range(num_steps))]
        following = [t - stride for t in times]
    else:
        times = [round(num_timesteps - i * num_timesteps / num_steps) - 1 for i in range(num_steps)]
        following = [*times[1:], -1]
    kept = torch.tensor([1.0, *_tables(num_timesteps)[1]], device='cpu')                   # (S + 1,)
    now, before = kept[[t + 1 for t in times]], kept[[max(t + 1, 0) for t in following]]   # (N,) each
    alpha = now / before  # In float32, as everybody else computes it.
    coef_x0 = before.sqrt() * (1 - alpha) / (1 - now)
    coef_xt = alpha.sqrt() * (1 - before) / (1 - now)
    sigma = ((1 - before) / (1 - now) * (1 - alpha)).clamp(min=1e-20).sqrt()
    sigma[-1] = 0
    return tuple(map(ReverseStep, times, following, coef_x0.tolist(), coef_xt.tolist(), sigma.tolist()))
