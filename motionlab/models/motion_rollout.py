"""Motion of any length, window after window, each from the last frame of the one before (PRIMAL).

Source: Zhang et al., PRIMAL, ICCV 2025 (arXiv 2503.17544).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from motionlab.body.canonical_frame import CanonicalFrame, points_to_frame
from motionlab.body.rotations import rotmat_to_rotvec
from motionlab.codecs import motion_batch as keys
from motionlab.models.motion_guidance import MovementGuidance, add_impulse, as_numbers, rows
from motionlab.models.rollout_options import MotionControl, RolloutOptions, control_of_window, is_whole
from motionlab.utils import ConfigError, DataError

if TYPE_CHECKING:
    from motionlab.models.motion_diffuser import MotionDiffuser

WindowNoise = Callable[[int], Tensor]


@dataclass(frozen=True)
class RolloutState:
    """Where B sequences stand between two windows; all there is to know to go on.

    Args:
        seed: (B, 1, D) first frame of the next window, as the network sees it.
        frame: Its canonical frame in the world, (B,).
        betas: (B, m) shapes.
        window: Number of the next window, from 0.
    """

    seed: Tensor
    frame: CanonicalFrame
    betas: Tensor
    window: int = 0


@dataclass(frozen=True)
class Window:
    """What one step of a rollout gives: features (B, n, D) as the network sees them in frames (B,), and the seed."""

    features: Tensor
    frame: CanonicalFrame
    seed: Tensor


class MotionRollout:
    """Generates windows with a model, for B sequences at once. Nothing that is passed in is changed.

    Call it with the model in evaluation mode. The body is that of the model's codec. Only the network runs in half
    precision where its weights are: motion, noise and guidance are in float32 at least.

    Args:
        model: A :class:`motionlab.models.MotionDiffuser`.
        options: Number of steps, snapping and so on.

    Attributes:
        num_frames: n, frames of a window; it brings n - 1 new ones, as the next one starts at its last frame.

    Raises:
        ConfigError: ``seq_len`` is too short for the order of the model; the model cannot take so many steps.
    """

    def __init__(self, model: MotionDiffuser, options: RolloutOptions | None = None):
        if not isinstance(options, (RolloutOptions, type(None))):
            raise ConfigError(f'MotionRollout: found a {type(options).__name__}, expected RolloutOptions.')
        self.model, self.codec = model, model.codec
        self.options = options or RolloutOptions()
        self.num_frames = self.codec.window_frames(self.options.seq_len)
        self.steps = model.head.reverse_steps(self.options.num_steps, self.options.spacing)

    @property
    def noise_shape(self) -> tuple[int, int, int]:
        """(steps, n, D) of the noise that a sequence takes for a window: the pure noise, then that of each step."""
        return self.options.num_steps, self.num_frames, self.codec.in_channels

    def num_windows(self, num_frames: int) -> int:
        """How many windows ``num_frames`` frames take; ConfigError below 1 and for what is no whole number."""
        if not is_whole(num_frames) or num_frames < 1:
            raise ConfigError(f'MotionRollout: found num_frames={num_frames!r}, expected at least 1, a whole number.')
        return max(1, -(-(num_frames - 1) // (self.num_frames - 1)))

    @torch.no_grad()
    def begin(self, batch: dict[str, Tensor]) -> RolloutState:
        """The state before the first window.

        Args:
            batch: ``trans`` (B, T, 3), ``root_orient`` (B, T, 3), ``pose_body`` (B, T, 63), ``betas`` (B, m) on the
                device of the model, in float32 or float64, T at least order + 1. The motion starts at frame 0; frames
                after the first order + 1 are not read.

        Raises:
            DataError: keys or shapes are wrong, or there are too few frames.
        """
        if self.options.snap:
            batch = self.codec.snap_seed(batch, self.options.ground)
        seed, frame = self.codec.encode_seed(batch)
        return RolloutState(seed, frame, batch[keys.BETAS])

    @torch.no_grad()
    def step(self, state: RolloutState, noise: Tensor, control: MotionControl | None = None,
             ) -> tuple[Window, RolloutState]:
        """The next window and the state after it.

        Args:
            state: Of :meth:`begin` or the last step.
            noise: (steps, B, n, D) standard normal: first what the window is made from, then what the steps add.
            control: What is wanted in this window.

        Raises:
            DataError: noise or controls have wrong shapes, or the control is none.
            ConfigError: the model has no adapter for such a control.
        """
        steps, *rest = self.noise_shape
        if tuple(noise.shape) != (steps, len(state.seed), *rest):
            raise DataError('rollout', 'noise', f'shape {tuple(noise.shape)}', f'{(steps, len(state.seed), *rest)}: '
                            'steps, sequences, frames, channels')
        if not isinstance(control, (MotionControl, type(None))):
            raise DataError('rollout', 'control', type(control).__name__, 'a MotionControl or None')
        legacy, seed, control = self.options.legacy, state.seed, control or MotionControl()
        if control.impulse is not None:
            seed = add_impulse(seed, control.impulse, self.codec, legacy.feature_impulses)
        guidance = None
        if control.direction is not None:
            guidance = MovementGuidance(control, self.codec, state.frame, legacy.guide_acceleration)
        network = self._network(seed, state.frame, control)
        features = self.model.head.denoise(network, noise, self.steps, guidance)           # (B, n, D)
        features = self._join(features, seed, state)
        following, frame = self.codec.advance(features, state.frame, state.betas, self.options.reproject,
                                              not legacy.blended_rotations)
        return (Window(features, state.frame, seed),
                RolloutState(following, frame, state.betas, state.window + 1))

    @torch.no_grad()
    def run(self, batch: dict[str, Tensor], num_frames: int, noise: WindowNoise,
            controls: MotionControl | Sequence[MotionControl | None] | None = None) -> dict[str, Tensor]:
        """Exactly ``num_frames`` frames: as many windows as it takes, the last frame of the last one included, cut.

        Args:
            batch: As :meth:`begin` takes it.
            num_frames: N, at least 1.
            noise: Window number -> (steps, B, n, D), called with 0, 1, ... once each.
            controls: One for all windows, or one of each, the last of which holds on but for its impulse.

        Returns:
            As :meth:`decode`, N frames.
        """
        count = self.num_windows(num_frames)
        state, windows = self.begin(batch), []
        for number in range(count):
            window, state = self.step(state, noise(number), control_of_window(controls, number))
            windows.append(window)
        decoded = self.decode(windows, state.betas)
        return {key: value if key == keys.BETAS else value[:, :num_frames] for key, value in decoded.items()}

    @torch.no_grad()
    def decode(self, windows: Sequence[Window], betas: Tensor, last: bool = True) -> dict[str, Tensor]:
        """Windows that follow each other -> their motion in the world, F frames, shared ones once.

        Args:
            windows: Of consecutive steps.
            betas: (B, m)
            last: Whether the last frame of the last window is wanted; it is the first one of a window to come.

        Returns:
            ``trans`` (B, F, 3) metres, ``root_orient`` (B, F, 3) and ``pose_body`` (B, F, 63) axis-angle in radians,
            ``betas`` (B, m), ``body_joints`` (B, F, 22, 3) metres, the joints of these bodies, and the points as the
            network gave them, ``joints`` (B, F, 22, 3) or ``markers`` (B, F, M, 3).

        Raises:
            DataError: some of it is not finite; it says how many motions, and from which frame on.
        """
        count, size = len(windows), len(betas)
        features = torch.stack([window.features for window in windows], dim=1)             # (B, K, n, D)
        frame = CanonicalFrame(*(torch.stack(parts, dim=1).flatten(0, 1)
                                 for parts in zip(*(window.frame for window in windows))))  # (B K,)
        found = self.codec.decode(features.flatten(0, 1), frame, betas.repeat_interleave(count, dim=0))
        found = {key: value.unflatten(0, (size, count)) for key, value in found.items()}   # (B, K, n, ...)

        def joined(key: str) -> Tensor:
            frames = found[key][:, :, :-1].flatten(1, 2)                                   # (B, K (n - 1), ...)
            return torch.cat([frames, found[key][:, -1, -1:]], dim=1) if last else frames

        points = self.codec.layout.points
        motion = {keys.TRANS: joined(keys.TRANS), keys.ROOT_ORIENT: rotmat_to_rotvec(joined(keys.ROOT_ROTMAT)),
                  keys.POSE_BODY: rotmat_to_rotvec(joined(keys.POSE_ROTMATS)).flatten(2), keys.BETAS: betas,
                  keys.BODY_JOINTS: joined(keys.BODY_JOINTS), points: joined(points)}
        _check_finite({key: value for key, value in motion.items() if key != keys.BETAS})
        return motion

    def _network(self, seed: Tensor, frame: CanonicalFrame, control: MotionControl,
                 ) -> Callable[[Tensor, Tensor], Tensor]:
        """Noisy windows (B, n, D) and steps (B,) -> windows without noise, under classifier-free guidance."""
        model, dtype = self.model, next(self.model.parameters()).dtype
        seeds = model.embed_seed(seed.to(dtype))                                           # (B, 1, h)

        def run(x: Tensor, t: Tensor, *told: Tensor) -> Tensor:
            return model(x.to(dtype), t, seeds, *told).to(x.dtype)

        wanted = self._wanted(frame, control)
        if wanted is None:
            return run
        wanted = model.embed_control(wanted.to(dtype) if wanted.is_floating_point() else wanted)  # (B, 1, h)
        weight = control.control_weight
        if not isinstance(weight, Tensor) and weight == 1:
            return lambda x, t: run(x, t, wanted)
        weight = rows(weight, 'control_weight', (), seed)[:, None, None]                   # (B, 1, 1)

        def guided(x: Tensor, t: Tensor) -> Tensor:
            without = run(x, t)
            return without + weight * (run(x, t, wanted) - without)

        return guided

    def _wanted(self, frame: CanonicalFrame, control: MotionControl) -> Tensor | None:
        """What the adapter is told: labels (B,), goals (B, 2 | 3) in the canonical frame, or nothing."""
        given = 'action' if control.action is not None else 'goal' if control.goal is not None else None
        if given is None:
            return None
        adapter = self.model.backbone.adapter
        if adapter is None or adapter.control != given:
            raise ConfigError(f'MotionRollout: found a control by {given}, and a model with '
                              f'{"no adapter" if adapter is None else f"an adapter for {adapter.control}"}.')
        size = len(frame.origin)
        if given == 'action':
            action = as_numbers(control.action, 'action')
            labels = adapter.embedding.num_embeddings
            if tuple(action.shape) not in ((), (1,), (size,)) or action.is_floating_point() or (
                    action.device.type == 'cpu' and not ((action >= 0) & (action < labels)).all()):
                raise DataError('control', 'action', f'{action.dtype} {tuple(action.shape)} {action.tolist()}',
                                f'labels of 0 to {labels - 1}, one or {size}')
            return action.to(frame.origin.device, torch.long).expand(size)
        dim, goal = adapter.embedding.in_features, as_numbers(control.goal, 'goal')
        if goal.shape[-1:] == (2,) and dim == 2:
            goal = torch.stack([goal[..., 0], torch.zeros_like(goal[..., 0]), goal[..., 1]], dim=-1)
        goal = points_to_frame(rows(goal, 'goal', (3,), frame.origin), frame)              # (B, 3)
        return goal if dim == 3 else goal[:, [0, 2]]

    def _join(self, features: Tensor, seed: Tensor, state: RolloutState) -> Tensor:
        """Denoised windows (B, n, D), set on the ground and blended in from their seeds (B, 1, D)."""
        options, legacy = self.options, self.options.legacy
        if options.snap:  # Before blending, so that there is little left to move afterwards.
            features = self.codec.snap(features, state.frame, state.betas, options.ground, legacy.snap_body_only)
        if options.inertialise:
            features = self.codec.inertialise(features, seed, renormalise=not legacy.blended_rotations)
            if options.snap and not legacy.snap_before_blend:
                features = self.codec.snap(features, state.frame, state.betas, options.ground, legacy.snap_body_only)
        return features


def _check_finite(motion: Mapping[str, Tensor]) -> None:
    lost = torch.stack([~value.isfinite().flatten(2).all(dim=2) for value in motion.values()]).any(dim=0)  # (B, F)
    if lost.any():
        raise DataError('generated motion', 'joints', f'NaN or infinity in {int(lost.any(dim=1).sum())} of {len(lost)} '
                        f'motions, from frame {int(lost.any(dim=0).int().argmax())} on', 'finite numbers',
                        'The weights are not finite, or guidance is too strong for the model.')
