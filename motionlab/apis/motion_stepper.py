"""Motion as it is asked for: a state and a control in, the next half second out (PRIMAL)."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from motionlab.apis.motion_generation import Array, motion_like, seed_batch, use_body, window_noise
from motionlab.apis.pose_prior import evaluating
from motionlab.body import BodyModel
from motionlab.body.canonical_frame import CanonicalFrame
from motionlab.models import MotionDiffuser
from motionlab.models.motion_rollout import MotionRollout, RolloutState
from motionlab.models.rollout_options import MotionControl, RolloutOptions
from motionlab.utils import ConfigError, DataError

_STATE_KEYS = ('seed', 'rotation', 'origin', 'betas', 'window', 'generator')


@dataclass(frozen=True)
class MotionStep:
    """The frames of one step.

    Args:
        motion: On the CPU, n - 1 frames: ``trans``, ``root_orient``, ``pose_body``, ``betas``, ``body_joints`` and
            ``joints`` as :func:`motionlab.apis.generate_motion` returns them.
        latency_s: Seconds from the call to these numbers.
        duration_s: Seconds that the frames last.
    """

    motion: dict[str, Tensor]
    latency_s: float
    duration_s: float


class MotionStepper:
    """Steps through B motions, n - 1 frames at a time (14, or 467 ms, for a velocity model of the published size).

    Steps one after the other give the frames that :func:`motionlab.apis.generate_motion` gives in one call with the
    same generator: none is lost, none comes twice.

    Args:
        model: A :class:`motionlab.models.MotionDiffuser`.
        body: As :func:`motionlab.apis.generate_motion` takes it. The stepper stays with it, whatever body the model is
            given meanwhile.
        state: Of :meth:`begin`, or :attr:`state` of another stepper. It is copied.
        options: Number of steps, snapping and so on.

    Raises:
        ConfigError: as :func:`motionlab.apis.generate_motion`.
        DataError: the state is none, or of another model.
    """

    def __init__(self, model: MotionDiffuser, body: BodyModel | str | Path | dict | None, state: Mapping[str, Tensor],
                 options: RolloutOptions | None = None):
        self.model = model
        use_body(model, body)
        self._body = model.codec.body
        self._rollout = MotionRollout(model, options)
        self._generator = torch.Generator()
        self.state = state

    @classmethod
    def begin(cls, model: MotionDiffuser, body: BodyModel | str | Path | dict | None, seed: Mapping[str, Array],
              betas: Array, generator: torch.Generator, options: RolloutOptions | None = None) -> 'MotionStepper':
        """A stepper at the start of a motion; arguments as :func:`motionlab.apis.generate_motion` takes them.

        Args:
            model: The model.
            body: Its body.
            seed: First frames (B, T, ...).
            betas: (B, m)
            generator: On the CPU; its state is copied, it stays where it is.
            options: Number of steps, snapping and so on.

        Raises:
            ConfigError: as :func:`motionlab.apis.generate_motion`; the generator is none on the CPU.
            DataError: as :func:`motionlab.apis.generate_motion`.
        """
        if not isinstance(generator, torch.Generator) or generator.device.type != 'cpu':
            raise ConfigError(f'MotionStepper: found generator={generator!r}, expected one on the CPU.')
        use_body(model, body)
        with evaluating(model):
            begun = MotionRollout(model, options).begin(seed_batch(model, seed, betas))
        return cls(model, None, _as_tensors(begun, generator), options)

    @property
    def num_frames(self) -> int:
        """Frames of a step."""
        return self._rollout.num_frames - 1

    @property
    def state(self) -> dict[str, Tensor]:
        """All there is to know to go on, as tensors on the CPU; ``torch.save`` writes it. Set it to go back."""
        return _as_tensors(self._state, self._generator)

    @state.setter
    def state(self, state: Mapping[str, Tensor]) -> None:
        missing = [key for key in _STATE_KEYS if key not in state]
        if missing:
            raise DataError('state', missing[0], f'only {sorted(state)}', 'this key too')
        channels, like = self.model.codec.in_channels, motion_like(self.model)
        size = state['seed'].shape[:1]
        shapes = {'seed': (*size, 1, channels), 'rotation': (*size, 3, 3), 'origin': (*size, 3),
                  'betas': (*size, *state['betas'].shape[-1:])}
        for key, shape in shapes.items():
            value = state[key]
            if tuple(value.shape) != shape or not size:
                raise DataError('state', key, f'shape {tuple(value.shape)}',
                                f'({", ".join(map(str, ("B", *shape[1:])))})',
                                'A state belongs to a model of the same features.')
            if not value.isfinite().all():
                raise DataError('state', key, 'NaN or infinity', 'finite numbers')
        seed, rotation, origin, betas = (state[key].to(like) for key in shapes)
        self._generator.set_state(state['generator'])
        self._state = RolloutState(seed, CanonicalFrame(rotation, origin), betas, int(state['window']))

    @torch.no_grad()
    def step(self, control: MotionControl | None = None) -> MotionStep:
        """The next n - 1 frames.

        Args:
            control: What is wanted in them: direction and speed, action or goal, a sudden impulse.

        Raises:
            DataError: the control has wrong shapes, or the frames are not finite, as under guidance far too strong.
                The stepper is then where it was.
            ConfigError: the model has no adapter for such a control; likewise.
        """
        start = time.perf_counter()
        self.model.codec.body = self._body
        self.model.codec.load_body(self._state.seed)
        generator = self._generator.clone_state()
        with evaluating(self.model):
            noise = window_noise(self._rollout, {'trans': self._state.frame.origin}, generator)
            window, state = self._rollout.step(self._state, noise(self._state.window), control)
            motion = self._rollout.decode([window], state.betas, last=False)
        self._state, self._generator = state, generator
        motion = {key: value.cpu() for key, value in motion.items()}
        return MotionStep(motion, time.perf_counter() - start, self.num_frames / self.model.codec.fps)


def _as_tensors(state: RolloutState, generator: torch.Generator) -> dict[str, Tensor]:
    tensors = {'seed': state.seed, 'rotation': state.frame.rotation, 'origin': state.frame.origin,
               'betas': state.betas, 'window': torch.tensor(state.window)}
    return {**{key: value.detach().cpu().clone() for key, value in tensors.items()},
            'generator': generator.get_state()}
