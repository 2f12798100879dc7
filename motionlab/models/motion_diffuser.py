"""Diffusion models of motion windows (PRIMAL)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from motionlab.codecs import motion_batch as keys
from motionlab.codecs.motion_source import check_motion_source
from motionlab.models.base_task_model import BaseTaskModel
from motionlab.registry import MODELS
from motionlab.utils import DataError
from motionlab.utils.random import row_randn


@MODELS.register_module()
class MotionDiffuser(BaseTaskModel):
    """Half a second of motion from noise, given its first frame.

    Batches are those of :mod:`motionlab.codecs.motion_batch`. Velocity and acceleration models differ by
    ``codec.order`` alone: number of features, terms of the loss and shortest window follow from it. The codec's body
    is read when it is first needed and is no part of any checkpoint. A backbone with an adapter is given the control
    of the batch: the class of the motion, or where the pelvis ends up in it.

    Args:
        codec: Usually :class:`motionlab.codecs.MotionEncoding`, with a body.
        backbone: Usually :class:`motionlab.models.backbones.MotionDiT`.
        head: Usually :class:`motionlab.models.heads.DiffusionHead`; ``order`` and ``num_timesteps`` follow from the
            other parts.
        data_preprocessor: Default ``BatchPreprocessor``.
        eval_seed: Of the noise in evaluation, which belongs to samples: it depends neither on batch size nor on the
            number of processes.
        compile: Submodules to compile, e.g. ``['backbone']``.

    Raises:
        ConfigError: parts do not fit each other.
    """

    def __init__(self, codec: dict, backbone: dict, head: dict, data_preprocessor: dict | None = None,
                 eval_seed: int = 0, compile: Sequence[str] = ()):
        super().__init__(codec, backbone, head, data_preprocessor, compile)
        self.check_fits('head', 'order', self.head.order, 'codec', self.codec.order)
        self.check_fits('head', 'num_timesteps', self.head.num_timesteps, 'backbone', self.backbone.num_timesteps)
        self.head.set_blocks(self.codec.blocks)
        self.eval_seed = eval_seed

    def _head_defaults(self) -> dict:
        return dict(order=self.codec.order, num_timesteps=self.backbone.num_timesteps)

    def load_body(self) -> str:
        """Read the codec's body unless it is there already, and say which it is; ConfigError if there is none."""
        return self.codec.load_body(next(self.parameters()))

    def check_data(self, metainfo: Mapping[str, Any]) -> None:
        """Refuse a dataset of another frame rate or of windows that are too short, as far as its ``metainfo`` tells.

        Raises:
            ConfigError: so it is; see also :func:`motionlab.codecs.motion_source.check_motion_source`.
        """
        if 'seq_len' in metainfo:
            self.codec.window_frames(metainfo['seq_len'], training=True)
        check_motion_source(self.codec, str(metainfo.get('dataset_name')), metainfo.get('fps', self.codec.fps),
                            metainfo.get('bodies', ()))

    def embed_seed(self, xs_0: Tensor) -> Tensor:
        """First frame (B, 1, D) without noise -> its embedding (B, 1, h), once for all steps of a window."""
        return self.backbone.embed_seed(xs_0)

    def embed_control(self, wanted: Tensor) -> Tensor:
        """Labels (B,), or goals (B, 2 | 3) in metres in the canonical frame -> (B, 1, h); ConfigError without adapter.
        """
        return self.backbone.embed_control(wanted)

    def forward(self, batch: dict[str, Tensor] | Tensor, t: Tensor | None = None, seed_embedding: Tensor | None = None,
                control: Tensor | None = None, control_weight: float | Tensor = 1.0,
                mode: str = 'tensor') -> dict[str, Tensor] | Tensor:
        """Take the noise off windows; or one of the modes of every task model.

        Args:
            batch: (B, T, D) noisy windows, as the codec encodes them; for ``'loss'`` and ``'predict'`` a raw batch.
            t: (B,) diffusion steps, 0 ... ``num_timesteps - 1``.
            seed_embedding: (B, 1, h) of :meth:`embed_seed`.
            control: (B, 1, h) of :meth:`embed_control`; None for the base alone.
            control_weight: Number, or (B, 1, 1).
            mode: ``'tensor'``, ``'loss'`` or ``'predict'``.

        Returns:
            (B, T, D) windows without noise; otherwise what :meth:`loss` or :meth:`predict` return.
        """
        if mode != 'tensor':
            return super().forward(batch, mode)
        if t is None or seed_embedding is None:
            raise DataError('MotionDiffuser', 't, seed_embedding', 'None', 'the steps (B,) and embed_seed(xs_0)')
        return self.head.predict(self.backbone(batch, t, seed_embedding, control, control_weight))

    def run_network(self, inputs: Tensor) -> Tensor:
        """Windows (B, T, D) at the noisiest step, their first frame given -> (B, T, D)."""
        t = torch.full((len(inputs),), self.head.num_timesteps - 1, device=inputs.device)
        return self(inputs, t, self.embed_seed(inputs[:, :1]))

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Raw batch -> ``loss``, and every term and ``total`` to be logged; steps and noise are drawn.

        Raises:
            ConfigError: there is no body; windows are too short for the order of the model.
            DataError: the batch is malformed, or holds no control although there is an adapter.
        """
        encoded = self._encode(batch)
        t, noise = self.head.sample_noise(encoded['inputs'])
        return self.head.loss(self._terms(batch, encoded, t, noise))

    @torch.no_grad()
    def predict(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Raw batch with ``sample_index`` -> every term and ``total`` for each sample.

        Step and noise belong to samples: sample i is at step i modulo S.

        Returns:
            ``sample_index`` (B,), and ``simple``, ``fk``, ``velocity`` or ``acceleration``, ``total``; (B,) each.

        Raises:
            ConfigError: as :meth:`loss`.
            DataError: likewise, or the batch does not say which samples it holds.
        """
        if keys.SAMPLE_INDEX not in batch:
            raise DataError('batch', keys.SAMPLE_INDEX, f'only {sorted(batch)}', 'this key too',
                            'Noise and diffusion step belong to samples.')
        encoded, index = self._encode(batch), batch[keys.SAMPLE_INDEX]
        shape = encoded['inputs'].shape                                                    # (B, n, D)
        noise = row_randn(index, shape[1] * shape[2], self.eval_seed).view(shape)
        terms = self._terms(batch, encoded, index % self.head.num_timesteps, noise)
        return {keys.SAMPLE_INDEX: index, **terms, keys.TOTAL: self.head.total(terms)}

    @torch.no_grad()
    def _encode(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        keys.check_motion_batch(batch)
        self.codec.window_frames(batch[keys.TRANS].shape[1], training=True)  # Raises where they are too few.
        return self.codec.encode(batch)

    def _terms(self, batch: dict[str, Tensor], encoded: dict[str, Tensor], t: Tensor, noise: Tensor,
               ) -> dict[str, Tensor]:
        """Terms (B,) of windows at steps t (B,) under noise (B, n, D)."""
        clean = encoded['inputs']                                                          # (B, n, D)
        noisy, seed = self.head.add_noise(clean, noise, t), self.embed_seed(clean[:, :1])
        pred = self(noisy, t, seed, self._control(batch, encoded))                         # (B, n, D)
        points = self.codec.body_points(pred, batch[keys.BETAS])                           # (B, n, P, 3)
        second = self.codec.order == 2
        return self.head.terms(
            pred, clean, points, encoded[self.codec.layout.points],
            encoded[keys.ACCELERATION if second else keys.VELOCITY],
            self.codec.acceleration_scale if second else self.codec.velocity_scale)

    def _control(self, batch: dict[str, Tensor], encoded: dict[str, Tensor]) -> Tensor | None:
        """(B, 1, h) what the adapter is told of each window; None without adapter."""
        adapter = self.backbone.adapter
        if adapter is None:
            return None
        if adapter.control == 'goal':
            return self.embed_control(self._goal(batch, encoded))
        if keys.ACTION not in batch:
            raise DataError('batch', keys.ACTION, f'only {sorted(batch)}', 'this key too', 'The adapter is trained on '
                            'classes of motion: use a file of tools/dataset_converters/smpl_to_motions.py.')
        action, known = batch[keys.ACTION], adapter.embedding.num_embeddings
        if action.min() < 0 or action.max() >= known:  # On a GPU the embedding would end the process without a name.
            raise DataError('batch', keys.ACTION, f'classes {action.min().item()} to {action.max().item()}',
                            f'0 to {known - 1}', 'Set backbone.adapter.num_actions to the number of classes.')
        return self.embed_control(action)

    def _goal(self, batch: dict[str, Tensor], encoded: dict[str, Tensor]) -> Tensor:
        """(B, 2 | 3) what the batch says, or where the pelvis is in the last frame; metres, canonical frame."""
        size = self.backbone.adapter.embedding.in_features
        if keys.GOAL in batch:
            if batch[keys.GOAL].shape[1] != size:
                raise DataError('batch', keys.GOAL, tuple(batch[keys.GOAL].shape), f'shape (B, {size})',
                                'backbone.adapter.goal_dim decides.')
            return batch[keys.GOAL]
        trans = self.codec.denormalise(encoded['inputs'][:, -1])[:, self.codec.blocks['trans']]  # (B, 3)
        goal = trans + self.codec.rest_joints(batch[keys.BETAS])[:, 0]
        return goal if size == 3 else goal[:, [0, 2]]
