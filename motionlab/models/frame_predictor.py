"""Next frames of a game from past frames and actions (a playable world model)."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from motionlab.codecs import frame_batch as keys
from motionlab.codecs.frame_source import check_frame_source
from motionlab.models.base_task_model import BaseTaskModel
from motionlab.models.guidance import Condition, guidance_batch, guided_velocity
from motionlab.models.heads.flow_samplers import Velocity, time_of
from motionlab.models.heads.flow_schedule import NUM_TIMES
from motionlab.registry import MODELS
from motionlab.utils import ConfigError, DataError
from motionlab.utils.random import batch_rand, batch_randn, derive_seed, seeded_randn

EVERYWHERE = (0.0, 1.0)
WORKFLOWS = ('latent', 'pixel')
PREDICTS = ('velocity', 'change')
LAST = 'last'  # (B, C, h, w) in a condition: the newest latent as the network sees it. Where changes are predicted.
_PIXELS = dict(type='SpaceToDepth', patch=1)  # Frames as they are, in [-1, 1].


@MODELS.register_module()
class FramePredictor(BaseTaskModel):
    """The next latent of a game from noise, given the latents of the last frames and the actions taken on them.

    Batches are those of :mod:`motionlab.codecs.frame_batch`. Noise, loss and sampling are in the codec's latent space;
    pixels are made only to be looked at. Several targets in a batch train several steps: the frame that the model
    takes for the first one stands in the history of the second, and so on, without gradient (as Alonso et al.,
    "Diffusion for World Modeling", NeurIPS 2024, train on CS:GO).

    Args:
        codec: Usually a :class:`motionlab.codecs.FrameCodec`.
        backbone: Usually :class:`motionlab.models.backbones.FrameDiT`.
        head: Usually :class:`motionlab.models.heads.FlowMatchingHead`.
        data_preprocessor: Default ``BatchPreprocessor``.
        action_dropout: Share of training samples whose actions are replaced by the null condition of guidance.
        context_noise: Noise of up to so many standard deviations is added to the latents of the history in training,
            as much to all frames of a sample, and the backbone is told how much by one of ``num_context_levels``
            levels (Valevski et al., "Diffusion models are real-time game engines", 2024: 0.7). It is what keeps long
            rollouts from drifting. 0 adds none; none is added in evaluation.
        eval_seed: Of the noise in evaluation, which belongs to samples: it depends neither on batch size nor on the
            number of processes.
        compile: Submodules to compile, e.g. ``['backbone']``.
        workflow: ``'latent'``, or ``'pixel'``: noise, loss and sampling on frames, the codec's autoencoder inside the
            network at every step. That cannot learn to generate: see :class:`motionlab.models.backbones.PixelDiT`.
        predicts: What the backbone's output is. ``'velocity'``: that of the flow, as published. ``'change'``: the next
            latent without noise minus the last one, from which the velocity follows. Most of a game's picture stays as
            it is, and a small network need not learn to copy it, nor to pass the noise on (Li and He, "Back to basics:
            let denoising generative models denoise", 2025, on predicting what is clean). The loss is the same.

    Raises:
        ConfigError: parts do not fit each other, a number is out of range, or the workflow is not known.
    """

    def __init__(self, codec: dict, backbone: dict, head: dict, data_preprocessor: dict | None = None,
                 action_dropout: float = 0.1, context_noise: float = 0.0, eval_seed: int = 0,
                 compile: Sequence[str] = (), workflow: str = 'latent', predicts: str = 'velocity'):
        for name, value, known in (('workflow', workflow, WORKFLOWS), ('predicts', predicts, PREDICTS)):
            if value not in known:
                raise ConfigError(f'FramePredictor: found {name}={value!r}, expected one of {known}.')
        if workflow == 'pixel':
            codec, backbone = _PIXELS, {'type': 'PixelDiT', 'autoencoder': codec, **backbone}
        super().__init__(codec, backbone, head, data_preprocessor, compile)
        if not 0 <= action_dropout < 1 or not 0 <= context_noise < float('inf'):
            raise ConfigError(f'FramePredictor: found action_dropout={action_dropout}, context_noise={context_noise}; '
                              'expected a share below 1, and a number of 0 or more.')
        if context_noise and not self.backbone.num_context_levels:
            raise ConfigError(f'FramePredictor: found context_noise={context_noise} and a backbone that is not told of '
                              'it; set backbone.num_context_levels, e.g. to 10.')
        self.action_dropout, self.context_noise, self.eval_seed = action_dropout, context_noise, eval_seed
        self.predicts = predicts

    @property
    def num_history(self) -> int:
        """S, past frames and actions that the network sees."""
        return self.backbone.num_history

    def check_data(self, metainfo: Mapping[str, Any]) -> None:
        """Refuse a dataset of another history, other actions, another frame size or latents of another codec.

        Raises:
            ConfigError: see :func:`motionlab.codecs.frame_source.check_frame_source`.
            DataError: the same.
        """
        check_frame_source(self.codec, self.num_history, self.backbone.num_actions, metainfo)

    # ---- parts of a step --------------------------------------------------------------------------------------

    def condition(self, history: Tensor, actions: Tensor, action_mask: Tensor | None = None,
                  level: Tensor | None = None) -> Condition:
        """All that a frame's network evaluations share.

        Args:
            history: (B, S, C, h, w) latents, oldest first.
            actions: (B, S) int64, taken on seeing these frames.
            action_mask: (B, S) bool; False where an episode had not begun. None: all are real.
            level: (B,) int64 level of noise in the history; None for none.

        Raises:
            DataError: shapes or actions are wrong.
        """
        if history.ndim != 5 or history.shape[1] != self.num_history or history.shape[2] != self.codec.in_channels:
            raise DataError('frames', 'history', f'shape {tuple(history.shape)}',
                            f'(B, {self.num_history}, {self.codec.in_channels}, h, w)',
                            'backbone.num_history and the codec decide.')
        if actions.shape != history.shape[:2]:
            raise DataError('frames', 'actions', f'shape {tuple(actions.shape)}', f'{tuple(history.shape[:2])}')
        # On a GPU looking would wait for the device; stores are checked when they are opened.
        if actions.device.type == 'cpu' and not ((actions >= 0) & (actions < self.backbone.num_actions)).all():
            raise DataError('frames', 'actions', f'{actions.min().item()} to {actions.max().item()}',
                            f'0 to {self.backbone.num_actions - 1}')
        if action_mask is None:
            action_mask = torch.ones_like(actions, dtype=torch.bool)
        if level is None and self.backbone.num_context_levels:
            level = torch.zeros(len(actions), dtype=torch.long, device=actions.device)
        condition = self.backbone.condition(history, actions, action_mask, level)
        return condition if self.predicts == 'velocity' else condition | {LAST: history[:, -1]}

    def velocity(self, condition: Condition, guidance: float = 1.0, interval: Sequence[float] = EVERYWHERE,
                 time_of: Callable[[float, Tensor], Tensor] = time_of) -> Velocity:
        """What a solver calls: x (B, C, h, w) and its noise level -> velocity.

        Keys and values of the tokens are computed here, once for all its calls.

        Args:
            condition: Of :meth:`condition`.
            guidance: w of classifier-free guidance by the actions, uncond + w (cond - uncond). At 1 the network sees
                each sample once.
            interval: Noise levels, lowest and highest, at which there is guidance.
            time_of: Noise level and x -> what the backbone is told of it, (B, ...).
        """
        condition = self.backbone.precompute(condition)

        def plain(x: Tensor, sigma: float) -> Tensor:
            return self._network(x, time_of(sigma, x), condition, sigma)

        if guidance == 1:
            return plain
        both = guidance_batch(condition, self.backbone.null_condition(condition))

        def guided(x: Tensor, sigma: float) -> Tensor:
            if not interval[0] <= sigma <= interval[1]:
                return plain(x, sigma)
            return guided_velocity(partial(self._network, sigma=sigma), x, time_of(sigma, x), both, guidance)

        return guided

    def _network(self, x: Tensor, time: Tensor, condition: Condition, sigma: float | Tensor) -> Tensor:
        """Velocity (B, C, h, w) of x at a noise level; ``time`` is what the backbone is told of it."""
        out = self.head.predict(self.backbone(x, time, condition))
        return out if self.predicts == 'velocity' else self.head.velocity_to(condition[LAST] + out, x, sigma)

    def add_context_noise(self, history: Tensor) -> tuple[Tensor, Tensor | None]:
        """History (B, S, C, h, w) with as much noise as is drawn for each sample, and the levels (B,) of it."""
        if not self.context_noise:
            return history, None
        share = batch_rand((len(history),), history.device)                                # (B,)
        noise = batch_randn(history.shape, history.device)
        levels = self.backbone.num_context_levels
        level = (share * levels).long().clamp(max=levels - 1)                              # (B,)
        return history + self.context_noise * share.view(-1, 1, 1, 1, 1) * noise, level

    def forward(self, batch: dict[str, Tensor] | Tensor, time: Tensor | None = None,
                condition: Condition | None = None, mode: str = 'tensor') -> dict[str, Tensor] | Tensor:
        """Velocities; or one of the modes of every task model.

        Args:
            batch: (B, C, h, w) noisy latents; for ``'loss'`` and ``'predict'`` a raw batch.
            time: (B,) 1000 times the noise level, float32.
            condition: Of :meth:`condition`.
            mode: ``'tensor'``, ``'loss'`` or ``'predict'``.

        Returns:
            (B, C, h, w) velocities; otherwise what :meth:`loss` or :meth:`predict` return.
        """
        if mode != 'tensor':
            return super().forward(batch, mode)
        if time is None or condition is None:
            raise DataError('FramePredictor', 'time, condition', 'None', 'times (B,) and condition(history, actions)')
        return self._network(batch, time, condition, time.view(-1, 1, 1, 1) / NUM_TIMES)

    def run_network(self, inputs: Tensor) -> Tensor:
        """Latents (B, C, h, w) as noise after a history of themselves, no action -> velocities (B, C, h, w)."""
        history = inputs[:, None].expand(-1, self.num_history, -1, -1, -1)
        actions = torch.full(history.shape[:2], keys.NO_ACTION, device=inputs.device)
        return self(inputs, time_of(1.0, inputs), self.condition(history, actions))

    # ---- modes ------------------------------------------------------------------------------------------------

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Raw batch -> ``loss_flow``: squared error of the velocity, mean over channels, places, samples and targets.

        Noise levels, noise, dropped actions and context noise are drawn from the batch stream.

        Raises:
            DataError: the batch is malformed.
        """
        history, targets = self._encode(batch)                                             # (B, S, ...), (B, K, ...)
        losses = []
        for step, x0 in enumerate(targets.unbind(1)):
            actions, mask = self._window(batch, step)
            noisy_history, level = self.add_context_noise(history)
            condition = self.condition(noisy_history, actions, mask, level)
            if self.action_dropout:
                dropped = batch_rand((len(x0),), x0.device) < self.action_dropout          # (B,)
                condition = self.backbone.drop_actions(condition, dropped)
            sigma, time = self.head.draw_sigma(len(x0), x0.device)
            noise = batch_randn(x0.shape, x0.device)
            x_t = self.head.add_noise(x0, noise, sigma)                                    # (B, C, h, w)
            pred = self(x_t, time, condition)                                              # (B, C, h, w)
            losses.append(self.head.loss(pred, x0, noise))
            if step + 1 < targets.shape[1]:
                own = self.head.remove_noise(x_t, pred.detach(), sigma)                    # (B, C, h, w)
                history = torch.cat([history[:, 1:], own[:, None]], dim=1)
        # In float64, so that the mean does not depend on how the rows are shared out.
        return {'loss_flow': torch.stack(losses).double().mean().float()}

    @torch.no_grad()
    def predict(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Raw batch with frames and ``sample_index`` -> the first target as the model makes it.

        Returns:
            ``sample_index``, ``index``, ``episode`` (B,) where the batch has them; ``frames`` made by the head's
            solver without guidance, ``target``, ``reconstruction``, the target after the codec, and ``last``, the frame
            before it, (B, H, W, 3) uint8; ``loss`` (B,) of the velocity at a noise level and noise of the sample's own.

        Raises:
            DataError: the batch is malformed, or does not say which samples it holds.
        """
        for key in (keys.SAMPLE_INDEX, keys.HISTORY, keys.TARGET):
            if key not in batch:
                raise DataError('batch', key, f'only {sorted(batch)}', 'this key too',
                                'Predictions are compared with frames, and their noise belongs to samples.')
        history, targets = self._encode(batch)
        x0, index = targets[:, 0], batch[keys.SAMPLE_INDEX]                                # (B, C, h, w), (B,)
        actions, mask = self._window(batch, 0)
        condition = self.condition(history, actions, mask)
        seeds = [derive_seed(4, self.eval_seed, row) for row in index.tolist()]
        noise = seeded_randn(seeds, x0.shape[1:], x0.device)
        latents = self.head.sample(self.velocity(condition), noise)
        target = batch[keys.TARGET]
        frames, reconstruction = (self.codec.to_uint8(self.codec.decode_frames(each)) for each in (latents, x0))
        return {keys.SAMPLE_INDEX: index, **{key: batch[key] for key in (keys.INDEX, keys.EPISODE) if key in batch},
                'frames': frames, 'reconstruction': reconstruction,
                'target': target[:, 0] if target.ndim == 5 else target, 'last': batch[keys.HISTORY][:, -1],
                'loss': self._own_loss(x0, noise, condition, seeds)}

    def _own_loss(self, x0: Tensor, noise: Tensor, condition: Condition, seeds: Sequence[int]) -> Tensor:
        """(B,) at noise levels of each sample's own, spread as in training."""
        draws = seeded_randn([derive_seed(5, seed) for seed in seeds], (), x0.device)      # (B,)
        if self.head.schedule.density != 'logit_normal':
            draws = torch.special.ndtr(draws)
        sigma, time = self.head.schedule.at(draws)
        return self.head.loss(self(self.head.add_noise(x0, noise, sigma), time, condition), x0, noise)

    @torch.no_grad()
    def _encode(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Latents of the history (B, S, C, h, w) and the targets (B, K, C, h, w)."""
        keys.check_frame_batch(batch)
        if keys.TARGET not in batch and keys.TARGET_LATENTS not in batch:
            raise DataError('batch', f'{keys.TARGET} or {keys.TARGET_LATENTS}', f'only {sorted(batch)}', 'one of them')
        encoded = self.codec.encode(batch)
        targets = encoded[keys.TARGET_LATENTS]
        return encoded[keys.HISTORY_LATENTS], targets if targets.ndim == 5 else targets[:, None]

    def _window(self, batch: dict[str, Tensor], step: int) -> tuple[Tensor, Tensor | None]:
        """Actions (B, S) that lead to target number ``step``, and their mask."""
        slots = slice(step, step + self.num_history)
        mask = batch.get(keys.ACTION_MASK)
        return batch[keys.ACTIONS][:, slots], None if mask is None else mask[:, slots]
