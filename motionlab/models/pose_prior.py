"""Priors over body poses: VPoser."""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from motionlab.codecs import pose_prior_batch as keys
from motionlab.models.base_task_model import BaseTaskModel
from motionlab.models.constant_inputs import describe_constant_inputs
from motionlab.models.losses.pose_prior_losses import mean_distance
from motionlab.registry import BODY_MODELS, MODELS
from motionlab.utils import CheckpointError, ConfigError, DataError
from motionlab.utils.random import row_randn

_MM = 1000.0


@MODELS.register_module()
class PosePrior(BaseTaskModel):
    """A variational autoencoder over the 21 body joints of the SMPL family.

    Batches are those of :mod:`motionlab.codecs.pose_prior_batch`. Training and evaluation compare bodies in the target
    pose and the reconstructed one, root, hands, face, shape and translation zero. The body is read when it is first
    needed; it is no part of any checkpoint, and encoding and decoding do without.

    Args:
        codec: Usually :class:`motionlab.codecs.BodyPoseCodec`.
        backbone: Usually :class:`motionlab.models.backbones.VPoser`.
        head: Usually :class:`motionlab.models.heads.VariationalHead`.
        data_preprocessor: Default ``BatchPreprocessor``.
        body: Config of the body that losses and metrics are measured on, e.g.
            ``dict(type='BodyModel', path='data/body_models/smplx/SMPLX_NEUTRAL.npz')``.
        eval_seed: Of the latent noise in evaluation, which belongs to samples: it depends neither on batch size nor
            on the number of processes.
        compile: Submodules to compile, e.g. ``['backbone.encoder_net', 'backbone.decoder_net']``.

    Raises:
        ConfigError: parts do not fit; ``compile`` names a part that is never called as a whole.
    """

    def __init__(self, codec: dict, backbone: dict, head: dict, data_preprocessor: dict | None = None,
                 body: dict | None = None, eval_seed: int = 0, compile: Sequence[str] = ()):
        if idle := {'backbone', 'head', 'codec'} & set(compile):
            raise ConfigError(f'PosePrior: found compile={list(compile)}, but compiling {", ".join(sorted(idle))} '
                              'would change nothing; expected names like "backbone.encoder_net" or '
                              '"backbone.decoder_net".')
        super().__init__(codec, backbone, head, data_preprocessor, compile)
        self.body_cfg, self.eval_seed = body, eval_seed
        self.epoch: int | None = None
        self.body: nn.Module | None = None
        self._body_description = ''

    @property
    def latent_dim(self) -> int:
        """L, size of the latent space."""
        return self.backbone.latent_dim

    def encode(self, pose_body: Tensor) -> Normal:
        """Poses -> their posterior.

        Args:
            pose_body: (B, 63) or (B, 21, 3), axis-angle in radians.

        Returns:
            Normal with ``mean`` and ``scale`` (B, L); gradients reach the poses.
        """
        return Normal(*self.backbone.encode(self.codec.encode({keys.POSE_BODY: pose_body})['inputs']))

    def decode(self, latent: Tensor) -> dict[str, Tensor]:
        """Latents -> poses.

        Args:
            latent: (B, L).

        Returns:
            ``pose_body`` (B, 21, 3) axis-angle in radians, at most pi long, and ``pose_body_matrot`` (B, 21, 9),
            row-major rotation matrices.
        """
        return self.codec.decode(self.backbone.decode(latent))

    def check_weight_names(self, names: Collection[str]) -> None:
        """Versions 1 and 2 share all names but those of one layer; see the base class."""
        own = {f'backbone.{name}' for name in self.backbone.state_dict()}
        last = {name for name in own | set(names) if name.startswith('backbone.encoder_net.7.')}
        found = 2 if last & set(names) else 1 if own - last <= set(names) else self.backbone.version
        if found != self.backbone.version:
            raise CheckpointError(f'weights of VPoser version {found}, but the config builds version '
                                  f'{self.backbone.version}, which has another encoder and other activations. Set '
                                  f'backbone.version={found}, or start from weights of version '
                                  f'{self.backbone.version}.')

    def weight_notes(self) -> list[str]:
        """Inputs that never changed in training."""
        norm = self.backbone.input_norm
        note = describe_constant_inputs(norm.running_var, norm.eps)
        return [note] if note else []

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch (from 0) is trained; :class:`motionlab.engine.hooks.PosePriorHook` does it in a run."""
        self.epoch = epoch

    def load_body(self) -> str:
        """Read the body unless it is there already, and say which it is: family, gender, version, sizes, file.

        Raises:
            ConfigError: the config names no body.
        """
        if self.body is None:
            if self.body_cfg is None:
                raise ConfigError('PosePrior: losses and metrics are measured on a body, and there is none: set '
                                  "model.body=dict(type='BodyModel', path='SMPLX_NEUTRAL.npz').")
            whole = BODY_MODELS.build(self.body_cfg)
            self._body_description = str(whole.description)
            self.body = whole.body_only().to(next(self.parameters()))
        return self._body_description

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Raw batch -> ``loss``, and every term and ``total`` to be logged; the latent is sampled.

        Raises:
            ConfigError: there is no body; :meth:`set_epoch` has not been called.
        """
        if self.epoch is None:
            raise ConfigError('PosePrior: the loss depends on the epoch, which nobody has told: add '
                              "pose_prior=dict(type='PosePriorHook') to default_hooks, or call set_epoch.")
        keys.check_pose_prior_batch(batch)
        self.load_body()
        inputs = self.codec.encode(batch)['inputs']                                        # (B, 63)
        mean, scale = self.backbone.encode(inputs)                                         # (B, L), (B, L)
        output = self.backbone.decode(self.head.sample(mean, scale))                       # (B, 126)
        with torch.autocast(inputs.device.type, enabled=False):
            target = _Posed(self, self.codec.target_rotmats(inputs), requires_grad=False)
            mean, scale, output = (_full_precision(value) for value in (mean, scale, output))
            found = _Posed(self, self.codec.to_rotmats(output))
            return self.head.loss(self._terms(mean, scale, found, target), self.epoch)

    @torch.no_grad()
    def predict(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Raw batch with ``sample_index`` -> reconstruction by the posterior mean, and every term for each sample.

        ``total`` is the objective of the first epoch, extra terms included, so that values stay comparable.

        Returns:
            ``sample_index`` (B,), ``pose_body`` (B, 21, 3), ``pose_body_matrot`` (B, 21, 9) and the terms of
            :data:`motionlab.codecs.pose_prior_batch.TERMS`, (B,) each.

        Raises:
            ConfigError: there is no body.
            DataError: the batch does not say which samples it holds.
        """
        keys.check_pose_prior_batch(batch)
        if keys.SAMPLE_INDEX not in batch:
            raise DataError('batch', keys.SAMPLE_INDEX, f'only {sorted(batch)}', 'this key too',
                            'The noise of the sampled latent belongs to samples.')
        self.load_body()
        inputs = self.codec.encode(batch)['inputs']                                        # (B, 63)
        mean, scale = self.backbone.encode(inputs)                                         # (B, L), (B, L)
        noise = row_randn(batch[keys.SAMPLE_INDEX], self.latent_dim, self.eval_seed)       # (B, L)
        with torch.autocast(inputs.device.type, enabled=False):
            mean, scale = _full_precision(mean), _full_precision(scale)
            target = _Posed(self, self.codec.target_rotmats(inputs))
            sampled = _Posed(self, self.codec.to_rotmats(self.backbone.decode(mean + scale * noise)))
            terms = self._terms(mean, scale, sampled, target)
            terms |= {keys.V2V_SAMPLED: mean_distance(sampled.vertices, target.vertices),
                      keys.V2V_L1_MM: _MM * terms[keys.V2V_L1],
                      keys.TOTAL: self.head.total(terms, epoch=0)}
            output = self.backbone.decode(mean)                                            # (B, 126)
            expected = _Posed(self, self.codec.to_rotmats(output))
            terms[keys.V2V_MEAN] = mean_distance(expected.vertices, target.vertices)
        return {keys.SAMPLE_INDEX: batch[keys.SAMPLE_INDEX], **self.codec.decode(output), **terms}

    def _terms(self, mean: Tensor, scale: Tensor, found: '_Posed', target: '_Posed') -> dict[str, Tensor]:
        return self.head.terms(mean, scale, (found.rotmats, target.rotmats), (found.joints, target.joints),
                               (found.vertices, target.vertices))


def _full_precision(value: Tensor) -> Tensor:
    """Float32 where autocast has made it less."""
    return value.to(torch.promote_types(value.dtype, torch.float32))


class _Posed:
    """Rotations (B, 21, 3, 3) of a pose and the body in it: vertices (B, V, 3), joints (B, J, 3)."""

    def __init__(self, model: PosePrior, rotmats: Tensor, requires_grad: bool = True):
        self.rotmats = rotmats
        with torch.set_grad_enabled(requires_grad and torch.is_grad_enabled()):
            self.vertices, self.joints = model.body.mesh(rotmats)
