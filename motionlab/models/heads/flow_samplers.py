"""From noise along a learned flow: Euler and DPM-Solver++ 2M, with exact times.

``x_sigma = (1 - sigma) x0 + sigma noise``, and the network gives the velocity ``noise - x0``. It is called once per
step with the noise level that the step begins at, a number of the float64 grid: times are ``1000 sigma``, unrounded.
Coefficients are computed in float64, and x stays in float32 whatever the network computes in.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from motionlab.models.heads.flow_schedule import NUM_TIMES, shift_sigma
from motionlab.utils import ConfigError

SOLVERS = ('euler', 'dpm++')

Velocity = Callable[[Tensor, float], Tensor]
"""x (B, ...) and its noise level -> velocity (B, ...)."""


def time_of(sigma: float, x: Tensor) -> Tensor:
    """(B,) float32: the time that the network is told of each of x (B, ...), whatever the type of x is."""
    return torch.full((len(x),), NUM_TIMES * sigma, dtype=torch.float32, device=x.device)


def sampling_sigmas(num_steps: int, shift: float = 1.0, solver: str = 'euler') -> tuple[float, ...]:
    """The N + 1 noise levels of N steps, from the highest down to 0.

    ``'euler'``: 1, 1 - 1/N, ..., 1/N, shifted once, and 0. ``'dpm++'``: 0.999 down to 0 in equal steps, shifted once:
    it cannot start from noise alone, where it would divide by zero.

    Raises:
        ConfigError: fewer than one step, or an unknown solver.
    """
    if num_steps < 1 or solver not in SOLVERS:
        raise ConfigError(f'sampling: found num_steps={num_steps}, solver={solver!r}; expected at least 1 and one of '
                          f'{SOLVERS}.')
    top = 1.0 if solver == 'euler' else 1 - 1 / NUM_TIMES
    return tuple(shift_sigma(top * (num_steps - k) / num_steps, shift) for k in range(num_steps)) + (0.0,)


def solve(velocity: Velocity, noise: Tensor, num_steps: int, shift: float = 1.0, solver: str = 'euler') -> Tensor:
    """Noise (B, ...) -> sample (B, ...) in ``num_steps`` calls of ``velocity``.

    Raises:
        ConfigError: see :func:`sampling_sigmas`.
    """
    sigmas = sampling_sigmas(num_steps, shift, solver)
    return (solve_euler if solver == 'euler' else solve_dpm)(velocity, noise, sigmas)


def solve_euler(velocity: Velocity, noise: Tensor, sigmas: Sequence[float]) -> Tensor:
    """``x <- x + (sigma' - sigma) v`` from level to level.

    Args:
        velocity: The network.
        noise: (B, ...) x at the first level.
        sigmas: N + 1 noise levels, falling.

    Returns:
        (B, ...) float32 x at the last level.
    """
    x = noise.float()
    for sigma, following in pairwise(sigmas):
        x = x + (following - sigma) * velocity(x, sigma).float()
    return x


def solve_dpm(velocity: Velocity, noise: Tensor, sigmas: Sequence[float]) -> Tensor:
    """DPM-Solver++ of second order, multistep (Lu et al., 2022), on the path of flow matching.

    The first and the last step are of first order. The same steps as diffusers' ``DPMSolverMultistepScheduler(
    prediction_type='flow_prediction', use_flow_sigmas=True, flow_shift=shift, solver_order=2)`` takes. That one is not
    used: it cuts the times it hands out to whole numbers, keeps the state of one rollout in itself, and would need an
    optional package for twenty lines.

    Args:
        velocity: The network.
        noise: (B, ...) x at the first level.
        sigmas: N + 1 noise levels, falling, all below 1.

    Returns:
        (B, ...) float32 x at the last level.

    Raises:
        ConfigError: a level is 1 or above.
    """
    if max(sigmas) >= 1:
        raise ConfigError(f'solve_dpm: found the noise level {max(sigmas)}, expected levels below 1. '
                          "sampling_sigmas(..., solver='dpm++') gives them.")

    def log_snr(sigma: float) -> float:
        return math.log((1 - sigma) / sigma) if sigma > 0 else math.inf

    x, before, before_snr = noise.float(), None, 0.0
    for step, (sigma, following) in enumerate(pairwise(sigmas)):
        clean = x - sigma * velocity(x, sigma).float()                                     # (B, ...)
        snr = log_snr(sigma)
        width = log_snr(following) - snr
        target = clean
        if before is not None and step + 2 < len(sigmas):
            target = clean + (clean - before) * (width / (2 * (snr - before_snr)))
        x = following / sigma * x - (1 - following) * math.expm1(-width) * target
        before, before_snr = clean, snr
    return x
