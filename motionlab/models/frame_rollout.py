"""Playing a learned game: one frame after another, each from the frames made before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from motionlab.codecs import frame_batch as keys
from motionlab.models.heads.flow_samplers import SOLVERS, time_of
from motionlab.utils import ConfigError, DataError
from motionlab.utils.random import seeded_randn

if TYPE_CHECKING:
    from motionlab.models.frame_predictor import FramePredictor

_ROW_STRIDE = 2**20  # Sequences of a batch meet each other's noise after so many frames. Seeds have 32 bits in torch.


@dataclass(frozen=True)
class FrameOptions:
    """How frames are made.

    Args:
        num_steps: Solver steps, each one forward pass of the network; None for the head's.
        solver: ``'euler'`` or ``'dpm++'``; None for the head's.
        guidance: w of classifier-free guidance by the actions. At 1 there is none, and half the work.
        guidance_interval: Noise levels, lowest and highest, at which there is guidance.
        seed: Frame n of a sequence starts from noise of a generator seeded with seed + n.

    Raises:
        ConfigError: a number out of range, or an unknown solver.
    """

    num_steps: int | None = None
    solver: str | None = None
    guidance: float = 1.0
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    seed: int = 0

    def __post_init__(self):
        low, high = self.guidance_interval
        if (self.num_steps is not None and self.num_steps < 1) or self.solver not in (None, *SOLVERS):
            raise ConfigError(f'FrameOptions: found num_steps={self.num_steps}, solver={self.solver!r}; expected at '
                              f'least 1 and one of {SOLVERS}.')
        if not 0 <= self.guidance < float('inf') or not 0 <= low <= high <= 1:
            raise ConfigError(f'FrameOptions: found guidance={self.guidance}, '
                              f'guidance_interval={self.guidance_interval}; expected 0 or more, and two rising numbers '
                              'of 0 to 1.')
        if not 0 <= self.seed < 2**31:
            raise ConfigError(f'FrameOptions: found seed={self.seed}, expected 0 to {2**31 - 1}.')


@dataclass(frozen=True)
class FrameState:
    """Where B sequences stand between two frames; all there is to know to go on.

    Args:
        history: (B, S, C, h, w) latents of the last frames, oldest first.
        actions: (B, S - 1) int64, taken on seeing all of them but the newest.
        mask: (B, S) bool; False for frames that stand for what was before the game began.
        frame: Number of the next frame to be made, from 0.
        seeds: (B,) of the noise.
    """

    history: Tensor
    actions: Tensor
    mask: Tensor
    frame: int
    seeds: tuple[int, ...]


class FrameRollout:
    """Makes frames with a model, for B sequences at once. Nothing that is passed in is changed.

    Frames go into the history as the latents they were made as: they are never decoded and encoded again. What the
    network is told beside x and time is computed once per frame, and what it makes of the times once after
    :meth:`begin`, as the solver's grid is fixed: weights must not change before the next one. Call it with the model in
    evaluation mode.

    Args:
        model: A :class:`motionlab.models.FramePredictor`.
        options: Steps, solver, guidance, seed.
    """

    def __init__(self, model: FramePredictor, options: FrameOptions | None = None):
        self.model, self.options = model, options or FrameOptions()
        self._times: dict[float, Tensor] = {}

    @torch.no_grad()
    def encode(self, frames: Tensor) -> Tensor:
        """Frames (..., H, W, 3) uint8 -> latents (..., C, h, w), to begin with."""
        return self.model.codec.encode_frames(frames)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Latents (..., C, h, w) -> frames (..., H, W, 3) uint8, to look at."""
        codec = self.model.codec
        return codec.to_uint8(codec.decode_frames(latents))

    def begin(self, history: Tensor, actions: Tensor | None = None, mask: Tensor | None = None,
              seeds: Sequence[int] | None = None) -> FrameState:
        """The state before the first frame that is made.

        Args:
            history: (B, n, C, h, w) latents of real frames, oldest first, in any precision. The last S are read; where
                there are fewer, the first one stands for those before, without action, and is masked as in training.
            actions: (B, n - 1) int64, taken on seeing all of them but the newest, whose action is the first one that
                :meth:`step` takes. None with a single frame.
            mask: (B, n) bool, False for frames that are such padding already. None: all are real.
            seeds: Of each sequence; by default far apart, the first one that of the options.

        Raises:
            DataError: shapes do not fit each other.
        """
        self._times.clear()
        size, given, num = len(history), history.shape[1] if history.ndim == 5 else 0, self.model.num_history
        if given < 1 or size < 1:
            raise DataError('rollout', 'history', f'shape {tuple(history.shape)}', '(B, n, C, h, w), n at least 1')
        if actions is None:
            actions = torch.zeros(size, 0, dtype=torch.long, device=history.device)
        mask = torch.ones(size, given, dtype=torch.bool, device=history.device) if mask is None else mask
        if tuple(actions.shape) != (size, given - 1) or tuple(mask.shape) != (size, given):
            raise DataError('rollout', 'actions, mask', f'shapes {tuple(actions.shape)}, {tuple(mask.shape)}',
                            f'{(size, given - 1)}, {(size, given)}', 'The action on the newest frame is for step().')
        seeds = [self.options.seed + row * _ROW_STRIDE for row in range(size)] if seeds is None else seeds
        if len(seeds) != size:
            raise DataError('rollout', 'seeds', f'{len(seeds)} of them', f'{size}')
        lacking = max(num - given, 0)
        history = torch.cat([history[:, :1].expand(-1, lacking, -1, -1, -1), history], dim=1).float()
        actions = torch.cat([actions.new_full((size, lacking), keys.NO_ACTION), actions], dim=1)
        mask = torch.cat([mask.new_zeros(size, lacking), mask], dim=1)
        return FrameState(history[:, -num:], actions[:, actions.shape[1] - num + 1:], mask[:, -num:], 0, tuple(seeds))

    @torch.no_grad()
    def step(self, state: FrameState, action: Tensor | int) -> tuple[Tensor, FrameState]:
        """The next frame and the state after it.

        Args:
            state: Of :meth:`begin` or the last step.
            action: Taken on seeing the newest frame: (B,) int64, or one for all.

        Returns:
            (B, C, h, w) float32 latents, and the state.

        Raises:
            DataError: no such action.
        """
        action = torch.as_tensor(action, device=state.history.device)
        if action.is_floating_point() or tuple(action.shape) not in ((), (len(state.history),)):
            raise DataError('rollout', 'action', f'{action.dtype} {tuple(action.shape)}', f'({len(state.history)},) '
                            'integers, or one')
        actions = torch.cat([state.actions, action.long().expand(len(state.history))[:, None]], dim=1)  # (B, S)
        options, model = self.options, self.model
        condition = model.condition(state.history, actions, state.mask)
        velocity = model.velocity(condition, options.guidance, options.guidance_interval, self._embedded_time)
        seeds = [seed + state.frame for seed in state.seeds]
        noise = seeded_randn(seeds, state.history.shape[2:], state.history.device)         # (B, C, h, w)
        latent = model.head.sample(velocity, noise, options.num_steps, options.solver)     # (B, C, h, w)
        following = FrameState(
            torch.cat([state.history[:, 1:], latent[:, None].to(state.history.dtype)], dim=1), actions[:, 1:],
            torch.cat([state.mask[:, 1:], state.mask.new_ones(len(latent), 1)], dim=1), state.frame + 1, state.seeds)
        return latent, following

    def _embedded_time(self, sigma: float, x: Tensor) -> Tensor:
        """(B, ...) what the backbone makes of a noise level of the grid; in float32, also under autocast."""
        if sigma not in self._times:
            with torch.autocast(x.device.type, enabled=False):
                self._times[sigma] = self.model.backbone.embed_time(time_of(sigma, x[:1]))  # (1, ...)
        return self._times[sigma].expand(len(x), *self._times[sigma].shape[1:])

    def run(self, state: FrameState, actions: Tensor) -> Iterator[Tensor]:
        """One frame after the other, under actions that are known beforehand.

        Args:
            state: Of :meth:`begin`.
            actions: (B, N), from that on the newest frame on.

        Yields:
            (B, C, h, w) latents of N frames.
        """
        for action in actions.unbind(1):
            latent, state = self.step(state, action)
            yield latent
