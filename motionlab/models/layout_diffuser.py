"""Images from captions and placed references: FLUX with layout, modulation and feedback, in training."""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor

from motionlab.codecs import layout_batch as keys
from motionlab.codecs.meta_check import check_expected
from motionlab.models.base_task_model import BaseTaskModel
from motionlab.models.layout_stages import BASE, check_stage, set_trainable
from motionlab.models.losses.identity_loss import (
    DECODES,
    eligible_references,
    identity_loss,
    reference_similarity,
)
from motionlab.models.losses.reduction import weighted_mean
from motionlab.registry import MODELS
from motionlab.utils import CheckpointError, ConfigError, DataError
from motionlab.utils.random import batch_rand, batch_randn, derive_seed, seeded_randn

LOSS = 'loss'             # (B,) of the velocity, in predictions.
ALPHA = 'alpha'           # (B, N) in predictions, 0 where no reference is.
ALPHA_SUM = 'alpha_sum'   # (B, 3) in predictions: sums over the references of each depth label,
ALPHA_COUNT = 'alpha_count'  # (B, 3), and how many these are.
GENERATED = 'generated'   # (B, H, W, 3) uint8 in predictions.
FLUX_HASH = 'flux_hash'   # In the meta data of checkpoints.
_TINIEST = 1e-6           # Of a probability in a logarithm.


@MODELS.register_module()
class LayoutDiffuser(BaseTaskModel):
    """FLUX that is told where things go and what they look like, trained in stages.

    Batches are those of :mod:`motionlab.codecs.layout_batch`. Flow matching on packed latents,
    ``x_t = (1 - t) x0 + t noise`` and the target ``noise - x0``; beside it, from stage 2 on, the identity loss.

    Args:
        codec: Usually a :class:`motionlab.codecs.LayoutCodec`.
        backbone: Usually :class:`motionlab.models.backbones.LayoutFlux`.
        head: Usually :class:`motionlab.models.heads.FlowMatchingHead`; its ``density`` is that of t.
        data_preprocessor: Default ``BatchPreprocessor``.
        stage: 0 trains FLUX itself, without references (the small default has no published base); 1 layout, 2 identity,
            3 feedback: see :mod:`motionlab.models.layout_stages`. All other weights take no gradient.
        identity_weight: Of the identity loss; 0 leaves it out. Published: 0 in stage 1, 10 afterwards.
        identity_t_max: Noise level up to which there is an identity loss.
        identity_min_px: Shorter side of the smallest object that has one, px of the decoded image.
        identity_decode: What of the predicted image is decoded for it: ``'image'``, or ``'boxes'``, each box with a
            margin around it: less work where boxes are small, not quite the same picture with an autoencoder that sees
            far.
        alpha_prior: Weight of the cross entropy of alpha to ``alpha_targets``; 0 leaves it out. Nothing else in stage 1
            tells references apart: without it alpha becomes the same number for all.
        alpha_targets: Of foreground, midground and background.
        reference_dropout: Share of training samples that lose all references, so that the network keeps making images
            without any.
        guidance: What a FLUX with a guidance embedding is told.
        eval_num_steps: At validation, images are generated with so many steps and given to the metrics; 0 makes none.
        eval_seed: Of the noise in evaluation, which belongs to samples: it depends neither on batch size nor on the
            number of processes.
        compile: Submodules to compile.

    Attributes:
        observed: Of the last training batch, detached: ``timesteps`` (B,); of the M valid references ``alpha`` (M,) and
            ``feedback`` (M,), its mean size; ``similarity`` of those that had an identity measured.
        measure_identity: Also measure the identity where its weight is 0; for logging.

    Raises:
        ConfigError: parts do not fit each other, a number is out of range, or the backbone lacks what the stage trains.
    """

    def __init__(self, codec: dict, backbone: dict, head: dict, data_preprocessor: dict | None = None, stage: int = 1,
                 identity_weight: float = 0.0, identity_t_max: float = 0.6, identity_min_px: float = 16.0,
                 identity_decode: str = 'image', alpha_prior: float = 0.0,
                 alpha_targets: Sequence[float] = (0.9, 0.5, 0.1), reference_dropout: float = 0.1,
                 guidance: float = 3.5, eval_num_steps: int = 0, eval_seed: int = 0, compile: Sequence[str] = ()):
        check_stage(stage)
        _check_numbers(identity_weight, identity_t_max, identity_min_px, identity_decode, alpha_prior, alpha_targets,
                       reference_dropout, guidance, eval_num_steps)
        super().__init__(codec, backbone, head, data_preprocessor, compile)
        for field in ('clip_dim', 'dino_dim'):
            self.check_fits('backbone', field, getattr(self.backbone, field), 'codec', getattr(self.codec, field))
        self.stage, self.guidance = stage, guidance
        self.identity_weight, self.identity_t_max = identity_weight, identity_t_max
        self.identity_min_px, self.identity_decode = identity_min_px, identity_decode
        self.alpha_prior, self.alpha_targets = alpha_prior, tuple(alpha_targets)
        self.reference_dropout, self.eval_num_steps, self.eval_seed = reference_dropout, eval_num_steps, eval_seed
        self.observed: dict[str, Tensor] = {}
        self.measure_identity = False
        set_trainable(self, stage)

    def _backbone_defaults(self) -> dict:
        return {'clip_dim': self.codec.clip_dim, 'dino_dim': self.codec.dino_dim}

    def velocity(self, x: Tensor, timestep: Tensor, batch: dict[str, Tensor], condition: Any,
                 grid: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
        """Packed x (B, T, 64), t (B,) -> velocity (B, T, 64), and the mean size of the feedback where there is any."""
        guidance = torch.full_like(timestep, self.guidance) if self.backbone.flux.config.guidance_embeds else None
        found = self.backbone(x, timestep, batch[keys.TEXT], batch[keys.POOLED], condition=condition, grid=grid,
                              guidance=guidance, return_feedback=condition is not None)
        return found if condition is not None else (found, None)

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Raw batch -> ``loss_flow``, ``loss_alpha`` and ``loss_identity`` as far as they have a weight, and what is
        logged beside them, means over valid references and all processes.

        Raises:
            DataError: the batch is malformed.
        """
        latents, references, grid = self._read(batch)
        size = len(latents)
        if references is not None and self.reference_dropout:
            kept = batch_rand((size,), latents.device) >= self.reference_dropout           # (B,)
            references[keys.REF_MASK] = references[keys.REF_MASK] & kept[:, None]
        sigma, _ = self.head.draw_sigma(size, latents.device)                              # (B,)
        noise = self.codec.pack(batch_randn(latents.shape, latents.device))                # (B, T, 64)
        x0 = self.codec.pack(latents)                                                      # (B, T, 64)
        x_t = self.head.add_noise(x0, noise, sigma)
        condition = None if references is None else self.backbone.prepare(references, grid)
        velocity, feedback = self.velocity(x_t, sigma, batch, condition, grid)             # (B, T, 64)
        # In float64, so that the mean does not depend on how the rows are shared out.
        terms = {'loss_flow': self.head.loss(velocity, x0, noise).double().mean().float(),
                 'timestep_mean': sigma.mean()}
        self.observed = {'timesteps': sigma.detach(),
                         **{name: sigma.new_zeros(0) for name in ('alpha', 'feedback', 'similarity')}}
        if condition is not None:
            terms |= self._reference_terms(references, condition, feedback)
            predicted = self.codec.unpack(self.head.remove_noise(x_t, velocity, sigma), *latents.shape[-2:])
            terms |= self._identity_terms(predicted, sigma, references, condition)
        return terms

    def check_data(self, metainfo: Mapping[str, Any]) -> None:
        """Refuse data whose latents and embeddings were made by others than the codec's encoders.

        Raises:
            DataError: ``meta`` of the dataset says otherwise than the codec.
        """
        if 'meta' in metainfo:
            check_expected(metainfo['meta'], self.codec.describe(), metainfo.get('dataset_name', 'dataset'))

    def checkpoint_meta(self) -> dict[str, str]:
        """Which FLUX the weights were trained on, which is not in checkpoints."""
        found = getattr(self.backbone, 'base_hash', None)
        return {} if found is None else {FLUX_HASH: found}

    def check_checkpoint_meta(self, meta: Mapping[str, Any]) -> None:
        """Refuse weights that were trained on another FLUX; warn where that is not known."""
        own, found = self.checkpoint_meta().get(FLUX_HASH), meta.get(FLUX_HASH)
        if found is None and own is not None:
            print_log('The checkpoint does not say which FLUX it was trained on: it is taken to be the one in '
                      f'{self.backbone.flux_path}.', logger='current', level=logging.WARNING)
        elif found != own:
            here = 'this model reads none from a folder' if own is None else f'{self.backbone.flux_path} has {own}'
            raise CheckpointError(f'was trained on the FLUX with hash {found}, but {here}: on another FLUX what was '
                                  'learnt means nothing. Set backbone.flux.path to the folder of that one.')

    @torch.no_grad()
    def predict(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Raw batch with ``sample_index`` -> how well noise is taken off, and images.

        Returns:
            ``loss`` (B,) of the velocity at a noise level and noise of the sample's own; ``alpha`` (B, N),
            ``alpha_sum`` and ``alpha_count`` (B, 3) of each depth label; ``generated`` images (B, H, W, 3) uint8 where
            ``eval_num_steps`` asks for them; of the batch the references' keys, ``images`` and ``sample_index``.

        Raises:
            DataError: the batch is malformed, or does not say which samples it holds.
        """
        if keys.SAMPLE_INDEX not in batch:
            raise DataError('batch', keys.SAMPLE_INDEX, f'only {sorted(batch)}', 'this key too',
                            'The noise of evaluation belongs to samples.')
        latents, references, grid = self._read(batch)
        seeds = [derive_seed(4, self.eval_seed, row) for row in batch[keys.SAMPLE_INDEX].tolist()]
        draws = seeded_randn([derive_seed(5, seed) for seed in seeds], (), latents.device)  # (B,)
        if self.head.schedule.density != 'logit_normal':
            draws = torch.special.ndtr(draws)
        sigma, _ = self.head.schedule.at(draws)
        noise = self.codec.pack(seeded_randn(seeds, latents.shape[1:], latents.device))    # (B, T, 64)
        x0 = self.codec.pack(latents)
        condition = None if references is None else self.backbone.prepare(references, grid)
        velocity, _ = self.velocity(self.head.add_noise(x0, noise, sigma), sigma, batch, condition, grid)
        shown = (keys.SAMPLE_INDEX, *keys.REFERENCE_KEYS, keys.IMAGES)
        found = {key: batch[key] for key in shown if key in batch} | {LOSS: self.head.loss(velocity, x0, noise)}
        found[ALPHA] = condition.alpha.float() if condition is not None else torch.zeros_like(found[keys.BOXES][..., 0])
        label = F.one_hot(found[keys.DEPTH], len(keys.DEPTH_LABELS)) * found[keys.REF_MASK][..., None]  # (B, N, 3)
        found |= {ALPHA_SUM: (label * found[ALPHA][..., None]).sum(1), ALPHA_COUNT: label.sum(1)}
        if self.eval_num_steps:
            from motionlab.models.layout_sampling import LayoutOptions, generate_images
            height, width = (side * self.codec.factor for side in latents.shape[-2:])
            options = LayoutOptions(num_steps=self.eval_num_steps)
            found[GENERATED] = generate_images(self, references, batch[keys.TEXT], batch[keys.POOLED], height, width,
                                               options, seeds).images
        return found

    # ---- parts of a step --------------------------------------------------------------------------------------

    def _read(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor] | None, tuple[int, int]]:
        """Latents (B, 16, h, w), what describes the references (None in the base stage), and the grid of tokens."""
        keys.check_layout_batch(batch)
        latents = batch.get(keys.LATENTS)
        if latents is None:
            if keys.IMAGES not in batch:
                raise DataError('batch', f'{keys.LATENTS} or {keys.IMAGES}', f'only {sorted(batch)}', 'one of them')
            latents = self.codec.encode_images(batch[keys.IMAGES])
        names = (*keys.REFERENCE_KEYS, *(key for key in (keys.ALPHA_OVERRIDE,) if key in batch))
        references = None if self.stage == BASE else {key: batch[key] for key in names}
        return latents.float(), references, (latents.shape[-2] // 2, latents.shape[-1] // 2)

    def _reference_terms(self, references: Mapping[str, Tensor], condition: Any,
                         feedback: Tensor | None) -> dict[str, Tensor]:
        """Alpha's prior, and what is logged of alpha and feedback."""
        mask = references[keys.REF_MASK]                                                   # (B, N)
        alpha, weight = condition.alpha.float(), mask.float()                              # (B, N), (B, N)
        terms = {}
        if self.alpha_prior and alpha.requires_grad:
            target = alpha.new_tensor(self.alpha_targets)[references[keys.DEPTH]]          # (B, N)
            held = alpha.clamp(_TINIEST, 1 - _TINIEST)
            entropy = -(target * held.log() + (1 - target) * (1 - held).log())             # (B, N)
            terms['loss_alpha'] = self.alpha_prior * weighted_mean(entropy, weight)
        alpha = alpha.detach()
        self.observed['alpha'] = alpha[mask]
        terms['alpha_mean'] = weighted_mean(alpha, weight)
        terms['alpha_fg_ratio'] = weighted_mean((alpha >= 0.5).float(), weight)
        magnitude = alpha.new_zeros(()) if feedback is None else feedback.detach().float().mean()
        self.observed['feedback'] = magnitude.expand(len(self.observed['alpha']))
        terms['feedback_magnitude'] = weighted_mean(magnitude[None], weight.sum()[None])
        return terms

    def _identity_terms(self, latents: Tensor, sigma: Tensor, references: Mapping[str, Tensor],
                        condition: Any) -> dict[str, Tensor]:
        """Predicted latents (B, 16, h, w) -> the identity loss if it has a weight, and what is logged of it."""
        if not self.identity_weight and not self.measure_identity:
            return {}
        with torch.set_grad_enabled(torch.is_grad_enabled() and bool(self.identity_weight)):
            height, width = (side * self.codec.factor for side in latents.shape[-2:])
            boxes = references[keys.BOXES]
            rows = eligible_references(boxes, references[keys.REF_MASK], sigma, height, width, self.identity_t_max,
                                       self.identity_min_px)                               # (B, N)
            similarity = reference_similarity(self.codec, latents, boxes, references[keys.DINO], rows,
                                              self.identity_decode)                        # (M,)
            loss = identity_loss(similarity, condition.alpha[rows])
        self.observed['similarity'] = similarity.detach()
        terms = {'identity': loss.detach(),
                 'identity_similarity': weighted_mean(similarity.detach(), torch.ones_like(similarity))}
        return terms | ({'loss_identity': self.identity_weight * loss} if self.identity_weight else {})


def _check_numbers(identity_weight: float, identity_t_max: float, identity_min_px: float, identity_decode: str,
                   alpha_prior: float, alpha_targets: Sequence[float], reference_dropout: float, guidance: float,
                   eval_num_steps: int) -> None:
    """Raise :class:`ConfigError` naming the first argument that is out of range."""
    checks = {'identity_weight': (identity_weight, 0 <= identity_weight < math.inf, '0 or more'),
              'identity_t_max': (identity_t_max, 0 < identity_t_max <= 1, 'above 0, at most 1'),
              'identity_min_px': (identity_min_px, 0 <= identity_min_px < math.inf, '0 or more'),
              'identity_decode': (identity_decode, identity_decode in DECODES, f'one of {DECODES}'),
              'alpha_prior': (alpha_prior, 0 <= alpha_prior < math.inf, '0 or more'),
              'alpha_targets': (alpha_targets, len(alpha_targets) == len(keys.DEPTH_LABELS)
                                and all(0 <= each <= 1 for each in alpha_targets), 'three shares'),
              'reference_dropout': (reference_dropout, 0 <= reference_dropout < 1, 'a share below 1'),
              'guidance': (guidance, 0 <= guidance < math.inf, '0 or more'),
              'eval_num_steps': (eval_num_steps, eval_num_steps >= 0, '0 or more')}
    for name, (value, fits, expected) in checks.items():
        if not fits:
            raise ConfigError(f'LayoutDiffuser: found {name}={value!r}, expected {expected}.')
