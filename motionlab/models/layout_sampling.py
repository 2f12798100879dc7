"""From noise to an image of a layout: references once, Euler steps on the noise levels of FLUX, decoding."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from motionlab.codecs import layout_batch as keys
from motionlab.codecs.image_range import check_frame_size, to_uint8
from motionlab.codecs.latent_packing import PATCH, token_grid
from motionlab.models.heads.flow_samplers import Velocity, sampling_sigmas, solve_euler
from motionlab.utils import CheckpointError, ConfigError, DataError
from motionlab.utils.random import seeded_randn

if TYPE_CHECKING:
    from motionlab.models.layout_diffuser import LayoutDiffuser

SCHEDULER_FILE = 'scheduler_config.json'
_DISTILLED_STEPS = 4  # Of FLUX.1-schnell.
_DIGITS = 9  # A share of the steps that is a whole number of them is not to become one more by rounding.
_FIXED = {'use_karras_sigmas': False, 'use_exponential_sigmas': False, 'use_beta_sigmas': False,
          'invert_sigmas': False, 'shift_terminal': None, 'time_shift_type': 'exponential',
          'stochastic_sampling': False, 'num_train_timesteps': 1000}  # What FLUX's schedulers have in common.


@dataclass(frozen=True)
class SamplingShift:
    """Where the noise levels of sampling lie: ``s' = a / (a + 1 / s - 1)`` of even levels s.

    With ``dynamic``, a = e^mu, and mu grows with the number of tokens: along the line through (``base_tokens``,
    ``base_mu``) and (``max_tokens``, ``max_mu``), beyond its ends too. Defaults are those of FLUX.1-dev; FLUX.1-schnell
    has ``dynamic=False``. The levels of diffusers' ``calculate_shift`` and ``FlowMatchEulerDiscreteScheduler``.

    Args:
        dynamic: Whether a depends on the number of tokens.
        shift: a where it does not.
        base_tokens: See above.
        max_tokens: See above.
        base_mu: See above.
        max_mu: See above.

    Raises:
        ConfigError: a number out of range.
    """

    dynamic: bool = True
    shift: float = 1.0
    base_tokens: int = 256
    max_tokens: int = 4096
    base_mu: float = 0.5
    max_mu: float = 1.15

    def __post_init__(self):
        if not 0 < self.shift < math.inf or not 0 < self.base_tokens < self.max_tokens \
                or not math.isfinite(self.base_mu + self.max_mu):
            raise ConfigError(f'{self}: expected a shift above 0, two rising numbers of tokens and finite mu.')

    def of(self, num_tokens: int) -> float:
        """a for an image of so many tokens."""
        if not self.dynamic:
            return self.shift
        slope = (self.max_mu - self.base_mu) / (self.max_tokens - self.base_tokens)
        return math.exp(num_tokens * slope + self.base_mu - slope * self.base_tokens)

    def sigmas(self, num_steps: int, num_tokens: int) -> tuple[float, ...]:
        """The N + 1 noise levels of N steps, from 1 down to 0.

        Raises:
            ConfigError: fewer than one step.
        """
        return sampling_sigmas(num_steps, self.of(num_tokens))


def read_sampling_shift(path: str | Path) -> SamplingShift:
    """What a ``scheduler_config.json``, or the folder that it lies in, says of a FLUX checkpoint.

    Raises:
        CheckpointError: no such file, unreadable, or a scheduler of another kind.
    """
    path = Path(path)
    path = path / SCHEDULER_FILE if path.is_dir() else path
    try:
        found = json.loads(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise CheckpointError(f'{path}: cannot be read, expected the {SCHEDULER_FILE} of a FLUX checkpoint: '
                              f'{error.strerror}.') from None
    except ValueError as error:
        raise CheckpointError(f'{path}: cannot be read as JSON: {error}') from None
    kind = found.get('_class_name') if isinstance(found, dict) else type(found).__name__
    if kind != 'FlowMatchEulerDiscreteScheduler':
        raise CheckpointError(f'{path}: describes a {kind}, expected a FlowMatchEulerDiscreteScheduler.')
    odd = {name: found[name] for name, value in _FIXED.items() if found.get(name, value) != value}
    if odd:
        raise CheckpointError(f'{path}: found {odd}, expected {({name: _FIXED[name] for name in odd})}.')
    names = dict(dynamic='use_dynamic_shifting', shift='shift', base_tokens='base_image_seq_len',
                 max_tokens='max_image_seq_len', base_mu='base_shift', max_mu='max_shift')
    given = {ours: found[theirs] for ours, theirs in names.items() if theirs in found}
    return SamplingShift(**{'dynamic': False, **given})  # Where diffusers' file is silent there is none.


@dataclass(frozen=True)
class LayoutOptions:
    """How images are made.

    Args:
        num_steps: Euler steps, each one forward pass of the network; None for the head's (28 for FLUX.1-dev), and 4 for
            FLUX.1-schnell, told by its scheduler and that it has no guidance embedding.
        seed: Image i of a call starts from noise of a generator seeded with seed + i.
        guidance: What a network with a guidance embedding is told; None for the model's.
        grounding_ratio: Share of the steps, from the first on, in which the layout path is active; at least a begun
            step counts. References that are placed do not need it to the end, and it takes freedom from the picture.
        layout_scale: Factor of what the layout path adds; 0 switches it off.
        modulation_scale: Factor of what modulation adds; 0 switches it off.
        feedback_scale: Factor of what a block tells the next one's modulation; 0 switches it off.
        shift: Of the noise levels; None for what the model's FLUX checkpoint says, else FLUX.1-dev's.

    Raises:
        ConfigError: a number out of range.
    """

    num_steps: int | None = None
    seed: int = 0
    guidance: float | None = None
    grounding_ratio: float = 1.0
    layout_scale: float = 1.0
    modulation_scale: float = 1.0
    feedback_scale: float = 1.0
    shift: SamplingShift | None = field(default=None)

    def __post_init__(self):
        if (self.num_steps is not None and self.num_steps < 1) or not 0 <= self.grounding_ratio <= 1:
            raise ConfigError(f'LayoutOptions: found num_steps={self.num_steps}, '
                              f'grounding_ratio={self.grounding_ratio}; expected at least 1, and a share of 0 to 1.')
        if not 0 <= self.seed < 2**31:
            raise ConfigError(f'LayoutOptions: found seed={self.seed}, expected 0 to {2**31 - 1}.')
        numbers = (self.layout_scale, self.modulation_scale, self.feedback_scale, self.guidance or 0.0)
        if not all(0 <= number < math.inf for number in numbers):
            raise ConfigError(f'LayoutOptions: found layout_scale={self.layout_scale}, modulation_scale='
                              f'{self.modulation_scale}, feedback_scale={self.feedback_scale}, guidance='
                              f'{self.guidance}; expected finite numbers of at least 0.')

    def num_grounded(self, num_steps: int) -> int:
        """In how many of the first steps the layout path is active."""
        return math.ceil(round(self.grounding_ratio * num_steps, _DIGITS))


@dataclass(frozen=True)
class LayoutImages:
    """B images that a model made.

    Args:
        images: (B, H, W, 3) uint8 RGB.
        latents: (B, 16, h, w) float32 that were decoded.
        alpha: (B, N) float32 of the references, 0 in empty slots: above one half it is an identity to keep, below a
            place to fill.
    """

    images: Tensor
    latents: Tensor
    alpha: Tensor


@torch.no_grad()
def generate_images(model: LayoutDiffuser, references: Mapping[str, Tensor] | None, text: Tensor, pooled: Tensor,
                    height: int, width: int, options: LayoutOptions | None = None,
                    seeds: Sequence[int] | None = None) -> LayoutImages:
    """Images of captions and references. What comes out for a row does not depend on the rows beside it.

    Call it with the model in evaluation mode. References are read once: nothing of them depends on the noise level.

    Args:
        model: A :class:`motionlab.models.LayoutDiffuser`.
        references: ``boxes``, ``depth``, ``clip``, ``dino``, ``ref_mask`` and perhaps ``alpha_override`` of
            :mod:`motionlab.codecs.layout_batch`; other keys are passed over. None for plain text-to-image.
        text: (B, L, Dt) tokens of the captions.
        pooled: (B, Dp) likewise.
        height: H in px, a multiple of two latent positions.
        width: W likewise.
        options: Steps, seed, scales.
        seeds: (B,) of the noise; by default they follow the options'.

    Raises:
        ConfigError: guidance for a network that takes none.
        DataError: a size that cannot be packed, shapes do not fit each other, or what is made is not finite.
    """
    options = options or LayoutOptions()
    codec, size = model.codec, len(text)
    check_frame_size(height, width, PATCH * codec.factor, 'generate_images')
    seeds = [options.seed + row for row in range(size)] if seeds is None else list(seeds)
    if len(seeds) != size or len(pooled) != size:
        raise DataError('generate_images', 'text, pooled, seeds', f'{size}, {len(pooled)}, {len(seeds)} rows',
                        'as many of each')
    h, w = height // codec.factor, width // codec.factor
    grid = token_grid(h, w)
    condition = None if references is None else model.backbone.prepare(_take_references(references, size), grid)
    noise = codec.pack(seeded_randn(seeds, (keys.LATENT_CHANNELS, h, w), text.device))     # (B, T, 64)
    sigmas = (options.shift or model_shift(model)).sigmas(options.num_steps or default_steps(model), noise.shape[1])
    velocity = _velocity(model, condition, text, pooled, grid, options, sigmas)
    latents = codec.unpack(solve_euler(velocity, noise, sigmas), h, w)                     # (B, 16, h, w)
    if not latents.isfinite().all():
        raise DataError('generate_images', 'latents', 'NaN or infinity', 'finite numbers', 'Look at the weights.')
    images = to_uint8(codec.decode_latents(latents))                                       # (B, H, W, 3)
    alpha = text.new_zeros(size, 0) if condition is None else condition.alpha
    return LayoutImages(images, latents, alpha.float())


def model_shift(model: LayoutDiffuser) -> SamplingShift:
    """What the scheduler beside the model's FLUX weights says; FLUX.1-dev's where there is none."""
    return _checkpoint_shift(model) or SamplingShift()


def default_steps(model: LayoutDiffuser) -> int:
    """Solver steps where nothing else is asked for: of a FLUX that was distilled to few, these; else the head's."""
    shift = _checkpoint_shift(model)
    distilled = shift is not None and not shift.dynamic and not model.backbone.guidance_embeds
    return _DISTILLED_STEPS if distilled else model.head.num_steps


def _checkpoint_shift(model: LayoutDiffuser) -> SamplingShift | None:
    if model.backbone.flux_path is not None:
        folder = Path(model.backbone.flux_path)
        for place in (folder / 'scheduler', folder.parent / 'scheduler'):
            if (place / SCHEDULER_FILE).is_file():
                return read_sampling_shift(place)
    return None


def _take_references(references: Mapping[str, Tensor], size: int) -> dict[str, Tensor]:
    """Those keys that the network is told."""
    lacking = [key for key in keys.REFERENCE_KEYS if key not in references]
    if lacking:
        raise DataError('references', lacking[0], f'only {sorted(references)}', 'this key too')
    names = (*keys.REFERENCE_KEYS, *(key for key in (keys.ALPHA_OVERRIDE,) if key in references))
    taken = {key: references[key] for key in names}
    wrong = [key for key, value in taken.items() if len(value) != size]
    if wrong:
        raise DataError('references', wrong[0], f'{len(taken[wrong[0]])} rows', f'{size}, as text has')
    return taken


def _velocity(model: LayoutDiffuser, condition: object, text: Tensor, pooled: Tensor, grid: tuple[int, int],
              options: LayoutOptions, sigmas: Sequence[float]) -> Velocity:
    """What the solver calls: packed x (B, T, 64) and its noise level -> velocity (B, T, 64)."""
    guidance = _guidance(model, options)
    if guidance is not None:
        guidance = torch.full((len(text),), guidance, device=text.device)                  # (B,)
    scales = {} if condition is None else dict(modulation_scale=options.modulation_scale,
                                               feedback_scale=options.feedback_scale)
    grounded = options.num_grounded(len(sigmas) - 1)
    ungrounded = set(sigmas[grounded:])

    def velocity(x: Tensor, sigma: float) -> Tensor:
        time = torch.full((len(x),), sigma, dtype=torch.float32, device=x.device)          # (B,)
        if condition is not None:
            scales['layout_scale'] = 0.0 if sigma in ungrounded else options.layout_scale
        return model.backbone(x, time, text, pooled, condition=condition, grid=grid, guidance=guidance, **scales)

    return velocity


def _guidance(model: LayoutDiffuser, options: LayoutOptions) -> float | None:
    """What the network is told; None for a network that takes none."""
    if model.backbone.guidance_embeds:
        return model.guidance if options.guidance is None else options.guidance
    if options.guidance is not None:
        raise ConfigError(f'LayoutOptions: found guidance={options.guidance}, but this FLUX has no guidance embedding: '
                          'leave it out.')
    return None
