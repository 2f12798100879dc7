"""The objective of flow matching, and sampling from it."""

import torch
from torch import Tensor, nn

from motionlab.models.heads.flow_samplers import Velocity, sampling_sigmas, solve
from motionlab.models.heads.flow_schedule import FlowSchedule
from motionlab.registry import HEADS

_LOWEST = 0.05


@HEADS.register_module()
class FlowMatchingHead(nn.Module):
    """Noise levels, noisy samples and their velocities in training; a solver afterwards.

    ``x_t = (1 - sigma) x0 + sigma noise``; the network predicts ``noise - x0``. Source: Lipman et al., "Flow Matching
    for Generative Modeling", ICLR 2023; Liu et al., "Flow Straight and Fast", ICLR 2023. Defaults are those of the
    published next-frame model, but for the solver: few Euler steps, as a game is to be played.

    Args:
        in_channels: C.
        shift: Of the noise levels, in training and sampling; 1 leaves them (text-to-image models have 3).
        density: Of the noise levels in training; see :class:`FlowSchedule`.
        logit_mean: See there.
        logit_std: See there.
        mode_scale: See there.
        discrete: See there.
        num_steps: Of sampling, where nothing else is asked for.
        solver: Likewise; one of :data:`motionlab.models.heads.flow_samplers.SOLVERS`.

    Raises:
        ConfigError: a number out of range, an unknown density or solver.
    """

    def __init__(self, in_channels: int, shift: float = 1.0, density: str = 'logit_normal', logit_mean: float = 0.0,
                 logit_std: float = 1.0, mode_scale: float = 1.29, discrete: bool = False, num_steps: int = 4,
                 solver: str = 'euler'):
        super().__init__()
        self.in_channels = self.out_channels = in_channels
        self.num_steps, self.solver = num_steps, solver
        self.schedule = FlowSchedule(shift, density, logit_mean, logit_std, mode_scale, discrete)
        sampling_sigmas(num_steps, shift, solver)  # Raises here, not when the first frame is to be made.

    def draw_sigma(self, size: int, device: torch.device | str = 'cpu') -> tuple[Tensor, Tensor]:
        """Noise levels (B,) and times (B,) of a training batch; see :meth:`FlowSchedule.draw`."""
        return self.schedule.draw(size, device)

    @staticmethod
    def add_noise(x0: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        """x0 (B, ...), noise (B, ...), sigma (B,) -> x_t (B, ...)."""
        sigma = sigma.view(-1, *[1] * (x0.ndim - 1))                                       # (B, 1, ...)
        return (1 - sigma) * x0 + sigma * noise

    @staticmethod
    def remove_noise(x_t: Tensor, velocity: Tensor, sigma: Tensor) -> Tensor:
        """x_t (B, ...), predicted velocity (B, ...), sigma (B,) -> the x0 that this predicts, (B, ...) float32."""
        return x_t.float() - sigma.view(-1, *[1] * (x_t.ndim - 1)) * velocity.float()

    @staticmethod
    def velocity_to(x0: Tensor, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        """Predicted x0 (B, ...), x_t (B, ...) and its noise level -> the velocity that leads to this x0, float32.

        Below a noise level of 0.05 it is what leads there from 0.05, so that it, and the loss, stay bounded.
        """
        level = sigma.clamp(min=_LOWEST) if isinstance(sigma, Tensor) else max(sigma, _LOWEST)
        return (x_t.float() - x0.float()) / level

    @staticmethod
    def loss(pred: Tensor, x0: Tensor, noise: Tensor) -> Tensor:
        """(B,) float32: squared difference of the predicted velocity (B, ...) from ``noise - x0``, mean of each sample.
        """
        return (pred.float() - (noise.float() - x0.float())).square().flatten(1).mean(1)

    def sample(self, velocity: Velocity, noise: Tensor, num_steps: int | None = None, solver: str | None = None,
               ) -> Tensor:
        """Noise (B, ...) -> sample (B, ...) float32, in ``num_steps`` calls of ``velocity``; see :func:`solve`."""
        num_steps = self.num_steps if num_steps is None else num_steps
        return solve(velocity, noise, num_steps, self.schedule.shift, solver or self.solver)

    def predict(self, features: Tensor) -> Tensor:
        """(B, C, h, w) as it is."""
        return features
