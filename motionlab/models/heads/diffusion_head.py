"""The objective of motion diffusion (PRIMAL), and one denoising after another."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from motionlab.codecs import motion_batch as keys
from motionlab.models.heads.noise_schedule import NoiseSchedule, ReverseStep
from motionlab.models.losses.motion_losses import NORMS, difference_loss, mean_difference
from motionlab.registry import HEADS
from motionlab.utils import ConfigError
from motionlab.utils.random import batch_rand, batch_randn


@HEADS.register_module()
class DiffusionHead(nn.Module):
    """Draws steps and noise, weighs the terms of the loss, and samples; the network predicts samples without noise.

    ``total = simple_weight simple + fk_weight fk + difference_weight velocity`` with ``order=1``, ``acceleration`` in
    the place of ``velocity`` with ``order=2``. Joints are those of the predicted bodies. Only ``simple`` ties the
    predicted joint and difference blocks to the bodies. Source: Zhang et al., PRIMAL, ICCV 2025.

    Args:
        in_channels: D, numbers of a frame.
        order: 1 velocity, 2 acceleration; by default that of the codec.
        num_timesteps: Diffusion steps; by default those of the backbone.
        simple_weight: Of the mean squared difference of features.
        fk_weight: Of the difference of joints, metres.
        difference_weight: Of the difference of joint velocities or accelerations, feature units.
        fk_norm: ``'l2'`` (mean square) or ``'l1'`` (mean absolute value) of ``fk``.
        difference_norm: The same of ``velocity`` or ``acceleration``.
        block_weights: Factors of the squared differences in ``simple`` by block of features; 1 where none is given.

    Raises:
        ConfigError: a negative weight, an unknown norm or order.
    """

    def __init__(self, in_channels: int, order: int = 1, num_timesteps: int = 50, simple_weight: float = 1.0,
                 fk_weight: float = 1.0, difference_weight: float = 1.0, fk_norm: str = 'l2',
                 difference_norm: str = 'l2', block_weights: Mapping[str, float] | None = None):
        super().__init__()
        if order not in (1, 2):
            raise ConfigError(f'DiffusionHead: found order={order!r}, expected 1 (velocity) or 2 (acceleration).')
        for name, norm in (('fk_norm', fk_norm), ('difference_norm', difference_norm)):
            if norm not in NORMS:
                raise ConfigError(f'DiffusionHead: found {name}={norm!r}, expected one of {NORMS}.')
        self.in_channels = self.out_channels = in_channels
        self.order, self.fk_norm, self.difference_norm = order, fk_norm, difference_norm
        self.block_weights = dict(block_weights or {})
        self.weights = {keys.SIMPLE: simple_weight, keys.FK: fk_weight,
                        keys.ACCELERATION if order == 2 else keys.VELOCITY: difference_weight}
        for name, value in (*self.weights.items(), *self.block_weights.items()):
            if not 0 <= value < float('inf'):
                raise ConfigError(f'DiffusionHead: found the weight {value} for {name}, expected 0 or more.')
        self.schedule = NoiseSchedule(num_timesteps)
        self.channel_weights: Tensor | None
        self.register_buffer('channel_weights', None, persistent=False)

    @property
    def num_timesteps(self) -> int:
        """Diffusion steps."""
        return self.schedule.num_timesteps

    def set_blocks(self, blocks: Mapping[str, slice]) -> None:
        """Say which channels the names in ``block_weights`` are of; the task model does.

        Raises:
            ConfigError: a name is of no block.
        """
        unknown = [name for name in self.block_weights if name not in blocks]
        if unknown:
            raise ConfigError(f'DiffusionHead: found block_weights of {unknown}, expected some of {list(blocks)}.')
        if self.block_weights:
            self.channel_weights = torch.ones(self.in_channels)                            # (D,)
            for name, value in self.block_weights.items():
                self.channel_weights[blocks[name]] = value

    def sample_noise(self, clean: Tensor) -> tuple[Tensor, Tensor]:
        """Steps t (B,), uniform in 0 ... S - 1, and noise for samples (B, n, D).

        Both come from the batch stream: they do not depend on how many processes share the batch.
        """
        uniform = batch_rand((len(clean),), clean.device)                                  # (B,)
        t = (uniform * self.num_timesteps).long().clamp(max=self.num_timesteps - 1)
        return t, batch_randn(clean.shape, clean.device)

    def add_noise(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """See :meth:`NoiseSchedule.add_noise`."""
        return self.schedule.add_noise(x0, noise, t)

    def terms(self, pred: Tensor, target: Tensor, points: Tensor, true_points: Tensor, differences: Tensor,
              scale: float) -> dict[str, Tensor]:
        """What the objective is made of, for each sample.

        Args:
            pred: (B, n, D) features without noise, as the network sees them.
            target: (B, n, D) the true ones.
            points: (B, n, P, 3) joints of the predicted bodies with the true shape, metres.
            true_points: (B, n, P, 3) the true ones.
            differences: (B, n, P, 3) their true velocities (``order=1``) or accelerations, feature units.
            scale: Feature units per metre per frame, or per metre per frame^2.

        Returns:
            ``simple``, ``fk`` and ``velocity`` or ``acceleration``; (B,) each.
        """
        last = difference_loss(points, differences, self.order, scale, self.difference_norm)
        terms = (mean_difference(pred, target, channel_weights=self.channel_weights),
                 mean_difference(points, true_points, self.fk_norm), last)
        return dict(zip(self.weights, terms, strict=True))

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum of :meth:`terms`, of their shape."""
        return sum(weight * terms[name] for name, weight in self.weights.items())

    def loss(self, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Means over the batch: ``loss``, which is minimised, and all terms and ``total``, which are logged."""
        # In float64, so that the mean does not depend on how the rows are shared out.
        means = {name: value.double().mean().to(value.dtype) for name, value in terms.items()}
        total = self.total(means)
        return {'loss': total, **{name: value.detach() for name, value in (means | {keys.TOTAL: total}).items()}}

    def reverse_steps(self, num_steps: int, spacing: str = 'leading') -> tuple[ReverseStep, ...]:
        """See :meth:`NoiseSchedule.reverse_steps`."""
        return self.schedule.reverse_steps(num_steps, spacing)

    @staticmethod
    def reverse_step(x_t: Tensor, x0: Tensor, step: ReverseStep, noise: Tensor | None = None,
                     guidance: Tensor | None = None) -> Tensor:
        """One step back: ``coef_x0 x0 + coef_xt x_t + sigma (guidance + noise)``.

        Args:
            x_t: (B, n, D).
            x0: (B, n, D) prediction without noise.
            step: Where x_t is and where it goes.
            noise: (B, n, D); unread where ``sigma`` is 0.
            guidance: (B, n, D) or broadcasting to it, in units of ``sigma``; likewise.
        """
        x = step.coef_x0 * x0 + step.coef_xt * x_t
        for pushed in (guidance, noise) if step.sigma else ():
            x = x if pushed is None else x + step.sigma * pushed
        return x

    def denoise(self, network: Callable[[Tensor, Tensor], Tensor], noise: Tensor, steps: Sequence[ReverseStep],
                guidance: Callable[[Tensor], Tensor | None] | None = None) -> Tensor:
        """From pure noise to a sample.

        Args:
            network: ``(x_t (B, n, D), t (B,)) -> x0 (B, n, D)``.
            noise: (steps, B, n, D): first the pure noise, then what each step but the last adds.
            steps: As :meth:`reverse_steps` gives them.
            guidance: ``x0 -> push``, of every step but the last.

        Returns:
            (B, n, D)
        """
        x = noise[0]
        for index, step in enumerate(steps):
            x0 = network(x, torch.full((len(x),), step.t, device=x.device))                # (B, n, D)
            guided = guidance is not None and step.sigma
            x = self.reverse_step(x, x0, step, noise[index + 1] if step.sigma else None,
                                  guidance(x0) if guided else None)
        return x

    def predict(self, features: Tensor) -> Tensor:
        """(B, n, D) as it is."""
        return features
