"""Motion from a trained model, a first pose and noise (PRIMAL; Zhang et al., ICCV 2025, arXiv 2503.17544)."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from motionlab.apis.pose_prior import evaluating
from motionlab.body import BodyModel, load_body
from motionlab.models import MotionDiffuser
from motionlab.models.layers import HalfLinear, PackedLinear
from motionlab.models.motion_rollout import MotionRollout, WindowNoise
from motionlab.models.rollout_options import LegacySwitches, MotionControl, RolloutOptions
from motionlab.registry import BODY_MODELS
from motionlab.utils import ConfigError, DataError

__all__ = ['Array', 'LegacySwitches', 'MotionControl', 'RolloutOptions', 'generate_motion', 'half_weights',
           'pack_weights', 'recorded_noise', 'seed_batch', 'use_body', 'window_noise']

SEED_KEYS = ('trans', 'root_orient', 'pose_body')
Array = Tensor | np.ndarray


@torch.no_grad()
def generate_motion(model: MotionDiffuser, body: BodyModel | str | Path | dict | None, seed: Mapping[str, Array],
                    betas: Array, num_frames: int, *,
                    generator: torch.Generator | Sequence[torch.Generator] | None = None, noise: Array | None = None,
                    controls: MotionControl | Sequence[MotionControl | None] | None = None,
                    options: RolloutOptions | None = None) -> dict[str, Tensor]:
    """Exactly ``num_frames`` frames of motion that begin with a seed, for B sequences at once.

    Y up, metres, radians, at the frame rate of the model (30 per second). The model runs in evaluation mode, on its own
    device, and has every mode back afterwards; nothing that is passed in is changed but the generators, and the codec
    keeps the body.

    Args:
        model: A :class:`motionlab.models.MotionDiffuser`, e.g. of ``load_pretrained('primal', path)``.
        body: Body whose shape the model was trained on: file, config, or what :func:`motionlab.body.load_body` gives;
            None for that of the model's config or of the last call. A file that does not say how many of its columns
            are shape takes a config: ``dict(type='BodyModel', path=..., num_betas=16, num_shape_columns=16)``.
        seed: ``trans`` (B, T, 3), ``root_orient`` (B, T, 3), ``pose_body`` (B, T, 63), axis-angle. A velocity model
            takes T = 2 frames, an acceleration model 3; of more, the first ones are used. Frame 0 is the first frame
            of the motion.
        betas: (B, m) shapes, or (m,) for all; m at most the shapes of the body, the missing ones are zero.
        num_frames: N, at least 1.
        generator: Where the noise is drawn: one for all sequences, or one of each, with which a sequence does not
            depend on those beside it.
        noise: Instead of a generator, (B, K, S, n, D), or (K, S, n, D) where B = 1: for K windows and S steps the
            pure noise (index 0) and what each step with t > 0 adds. K windows are enough for K (n - 1) + 1 frames.
        controls: What is wanted: one for the whole motion, or one of each window of n - 1 new frames; the last one
            holds on, but for its impulse.
        options: Number of steps, snapping, legacy switches and so on.

    Returns:
        On the model's device, in float32 (float64 of such a model): ``trans`` (B, N, 3), ``root_orient`` (B, N, 3),
        ``pose_body`` (B, N, 63), ``betas`` (B, m), ``body_joints`` (B, N, 22, 3), the joints of these bodies, and
        ``joints`` (B, N, 22, 3), what the network says they are.

    Raises:
        DataError: too few frames (saying how many are needed), wrong shapes, numbers that are not finite, or too
            little noise; or the motion itself came out not finite, as under guidance far too strong.
        ConfigError: N below 1; neither or both of generator and noise; options that do not fit the model; controls
            that the model has no adapter for; no body; something else than generators.
    """
    rollout = MotionRollout(model, options)
    count = rollout.num_windows(num_frames)
    use_body(model, body)
    batch = seed_batch(model, seed, betas)
    if (generator is None) == (noise is None):
        raise ConfigError('generate_motion: give either a generator, e.g. torch.Generator().manual_seed(0), or noise.')
    source = (window_noise(rollout, batch, generator) if noise is None else
              recorded_noise(rollout, batch, noise, count))
    with evaluating(model):
        return rollout.run(batch, num_frames, source, controls)


def use_body(model: MotionDiffuser, body: BodyModel | str | Path | dict | None) -> str:
    """Give the model's codec a body, None for its own, and say which it is."""
    if isinstance(body, (str, Path)):
        body = load_body(body)
    elif isinstance(body, Mapping):
        body = BODY_MODELS.build(dict(body))
    if body is not None:
        model.codec.set_body(body)
    return model.codec.load_body(next(model.parameters()))


def seed_batch(model: MotionDiffuser, seed: Mapping[str, Array], betas: Array) -> dict[str, Tensor]:
    """A raw batch on the model's device, of the first frames that a seed takes; see :func:`generate_motion`.

    Raises:
        DataError: keys or shapes are wrong, frames too few, or numbers not finite.
    """
    like, needed = motion_like(model), model.codec.num_seed_frames
    missing = [key for key in SEED_KEYS if key not in seed]
    if missing:
        raise DataError('seed', missing[0], f'only {sorted(seed)}', 'this key too')
    batch = {key: torch.as_tensor(seed[key]) for key in SEED_KEYS}
    for key, value in batch.items():
        if value.ndim != 3 or value.shape[1] < needed or not len(value):
            raise DataError('seed', key, f'shape {tuple(value.shape)}', f'(B, T, ...), T at least {needed}',
                            f'A model of order {model.codec.order} needs {needed} frames of seed; of more, the first '
                            f'{needed} are used.')
    if len({value.shape[:2] for value in batch.values()}) > 1:
        raise DataError('seed', ', '.join(batch), f'shapes {[tuple(value.shape) for value in batch.values()]}',
                        'as many sequences and frames in all of them')
    batch = {key: value[:, :needed] for key, value in batch.items()}
    size, betas, known = len(batch['trans']), torch.as_tensor(betas), model.codec.body.num_betas
    if betas.ndim not in (1, 2) or (betas.ndim == 2 and len(betas) not in (1, size)):
        raise DataError('seed', 'betas', f'shape {tuple(betas.shape)}', f'({size}, m) or (m,)')
    if betas.shape[-1] > known:
        raise DataError('seed', 'betas', f'{betas.shape[-1]} coefficients', f'at most {known}',
                        f'The body was loaded with as many: {model.codec.body.description}. Cut betas, or give '
                        "dict(type='BodyModel', path=..., num_betas=..., num_shape_columns=...) if its file has more.")
    batch['betas'] = betas.expand(size, -1)
    for key, value in batch.items():
        batch[key] = value.to(like)
        if not batch[key].isfinite().all():
            raise DataError('seed', key, 'NaN or infinity', 'finite numbers')
    return batch


def motion_like(model: MotionDiffuser) -> Tensor:
    """An empty tensor on the model's device, in the precision of its motion: float32 for half-precision weights too."""
    weight = next(model.parameters())
    return torch.empty(0, dtype=torch.promote_types(weight.dtype, torch.float32), device=weight.device)


def window_noise(rollout: MotionRollout, batch: Mapping[str, Tensor],
                 generator: torch.Generator | Sequence[torch.Generator]) -> WindowNoise:
    """Noise that is drawn window by window, on the device of the generators.

    Raises:
        ConfigError: several generators, and not one of each sequence; something else.
    """
    like, (steps, frames, channels) = batch['trans'], rollout.noise_shape
    if isinstance(generator, torch.Generator):
        return lambda window: torch.randn(steps, len(like), frames, channels, generator=generator,
                                          device=generator.device).to(like)
    if not isinstance(generator, Sequence) or not all(isinstance(one, torch.Generator) for one in generator):
        raise ConfigError(f'generate_motion: found generator={generator!r}, expected torch.Generator().manual_seed(0), '
                          'or one of each sequence.')
    if len(generator) != len(like):
        raise ConfigError(f'generate_motion: found {len(generator)} generators for {len(like)} sequences, expected one '
                          'of each, or one.')
    return lambda window: torch.stack([torch.randn(steps, frames, channels, generator=one, device=one.device).to(like)
                                       for one in generator], dim=1)


def recorded_noise(rollout: MotionRollout, batch: Mapping[str, Tensor], noise: Array, num_windows: int) -> WindowNoise:
    """Noise (B, K, S, n, D), or (K, S, n, D) of one sequence, window by window.

    Raises:
        DataError: another shape, fewer than ``num_windows`` windows, or numbers that are not finite.
    """
    noise, like = torch.as_tensor(noise), batch['trans']
    noise = noise[None] if noise.ndim == 4 else noise                                      # (B, K, S, n, D)
    shape = (len(like), num_windows, *rollout.noise_shape)
    if noise.ndim != 5 or (len(noise), *noise.shape[2:]) != (len(like), *rollout.noise_shape) or (
            noise.shape[1] < num_windows):
        frames = noise.shape[1] * (rollout.num_frames - 1) + 1 if noise.ndim == 5 else 0
        raise DataError('generate_motion', 'noise', f'shape {tuple(noise.shape)}',
                        f'{shape}: sequences, windows (or more), steps, frames of a window, channels',
                        f'{noise.shape[1]} windows are enough for {frames} frames.' if frames else '')
    if not noise[:, :num_windows].isfinite().all():
        raise DataError('generate_motion', 'noise', 'NaN or infinity', 'finite numbers')
    return lambda window: noise[:, window].transpose(0, 1).to(like)


def half_weights(model: MotionDiffuser) -> MotionDiffuser:
    """A copy of a model on the CPU whose network reads its weights in half precision: nearly the same motion, sooner.

    For the stepper: with one sequence the network takes as long as reading its weights takes. With many there is
    nothing to gain. Answers of the network of the published size change by about 1e-3. The copy is for inference only,
    and its weights cannot be saved; see :class:`motionlab.models.layers.HalfLinear`.

    Raises:
        ConfigError: the model is not in float32 on the CPU, is such a copy already, or this PyTorch has no such
            kernels.
    """
    return _with_linears(model, HalfLinear)


def pack_weights(model: MotionDiffuser) -> MotionDiffuser:
    """A copy of a model on the CPU whose network has its weights laid out for few rows: the same motion, sooner.

    For the stepper, as a window of one sequence has 16 rows. With many sequences there is nothing to gain. Sums are
    taken in another order, nothing else changes. The copy is for inference only, and its weights cannot be saved; see
    :class:`motionlab.models.layers.PackedLinear`.

    Raises:
        ConfigError: as :func:`half_weights`.
    """
    return _with_linears(model, PackedLinear)


def _with_linears(model: MotionDiffuser, make: Callable[[nn.Linear], nn.Module]) -> MotionDiffuser:
    """A copy with the same body and other linear layers in its network."""
    if any(isinstance(module, (HalfLinear, PackedLinear)) for module in model.backbone.modules()):
        raise ConfigError('half_weights, pack_weights: found a model that one of them has made, expected the trained '
                          'one.')
    body, model.codec.body = model.codec.body, None
    try:
        copied = deepcopy(model).eval()
    finally:
        model.codec.body = body
    copied.codec.body = body
    for module in list(copied.backbone.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear:
                setattr(module, name, make(child))
    return copied
