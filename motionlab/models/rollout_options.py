"""How motion is generated window by window, and what is wanted of the sequences while it is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from operator import index

from torch import Tensor

from motionlab.models.heads.noise_schedule import SPACINGS
from motionlab.utils import ConfigError, DataError


@dataclass(frozen=True)
class LegacySwitches:
    """What the original does and we do not. All are off; :meth:`original` puts all on.

    With all of them on, windows equal the original's, given its noise.

    Args:
        snap_before_blend: Windows are set on the ground before they are blended in, which lifts or sinks them again by
            millimetres, and not once more afterwards.
        snap_body_only: Snapping moves the body and leaves the joint block, which the next seed's joints are, behind.
        blended_rotations: 6D rotations stay as blending leaves them, in the next seed too: nearly orthonormal.
        guide_acceleration: Moving guidance of acceleration models drives the *mean acceleration* to the wanted
            velocity: the motion never stops speeding up.
        feature_impulses: Impulses are numbers of feature units, v / 30 for v m/s, whatever these units are, and are
            added to the highest difference: acceleration where there is one.
    """

    snap_before_blend: bool = False
    snap_body_only: bool = False
    blended_rotations: bool = False
    guide_acceleration: bool = False
    feature_impulses: bool = False

    @classmethod
    def original(cls) -> 'LegacySwitches':
        """All of them on."""
        return cls(**{switch.name: True for switch in fields(cls)})


@dataclass(frozen=True)
class RolloutOptions:
    """What is the same for all windows of a generation.

    Args:
        num_steps: Denoising steps of a window.
        seq_len: Raw frames of a window in training; n = seq_len - order feature frames follow from it.
        spacing: Of the steps, ``'leading'`` as in the original or ``'trailing'``; see
            :meth:`motionlab.models.heads.DiffusionHead.reverse_steps`.
        snap: The first pose, and then every window as a whole, is lifted or lowered until the lowest joint is
            ``ground`` high. It flattens jumps. As this comes last, windows can be a few millimetres above or below
            each other where they meet.
        ground: Metres.
        inertialise: Windows start exactly at their seed and leave the offset within half a second.
        reproject: The joints of a seed are those of its body instead of the network's joint block.
        legacy: What of the original to keep.

    Raises:
        ConfigError: steps or spacing are none, or a value is of another kind.
    """

    num_steps: int = 10
    seq_len: int = 16
    spacing: str = 'leading'
    snap: bool = False
    ground: float = 0.01
    inertialise: bool = True
    reproject: bool = False
    legacy: LegacySwitches = field(default_factory=LegacySwitches)

    def __post_init__(self):
        if not is_whole(self.num_steps) or self.num_steps < 1 or self.spacing not in SPACINGS:
            raise ConfigError(f'RolloutOptions: found num_steps={self.num_steps!r}, spacing={self.spacing!r}; expected '
                              f'at least 1 and one of {SPACINGS}.')
        if not is_whole(self.seq_len) or not math.isfinite(self.ground) or not isinstance(self.legacy, LegacySwitches):
            raise ConfigError(f'RolloutOptions: found seq_len={self.seq_len!r}, ground={self.ground!r}, '
                              f'legacy={self.legacy!r}; expected a whole number, metres and LegacySwitches.')


@dataclass(frozen=True)
class MotionControl:
    """What is wanted of B sequences during one window. What is None is not controlled.

    Every value may be one for all sequences, or have a leading axis B.

    Args:
        direction: (3,) or (B, 3) in the world, of any length but zero: where to move and face.
        speed: m/s along ``direction``, number or (B,).
        moving_weight: How strongly the mean velocity is driven there, number or (B,); None for 50, in metric models
            0.5.
        facing_weight: How strongly the last pose is turned there, number or (B,); None for 25, in metric models 0.25.
        action: Label or (B,) labels, for models with an action adapter.
        goal: Where in the world the pelvis shall be, for models with a goal adapter: (2,) or (B, 2) x and z, or (3,) or
            (B, 3), metres.
        control_weight: w of classifier-free guidance by action or goal, number or (B,):
            uncontrolled + w (controlled - uncontrolled). At the number 1 the network runs once instead of twice.
        impulse: Velocity that joints suddenly have at the start of the window: a name of
            :data:`motionlab.models.motion_guidance.IMPULSES`, or (22, 3) or (B, 22, 3) m/s along the axes of the body
            (left, up, forward). It is over with that window, also where the control holds on.

    Raises:
        DataError: values contradict each other, or a weight is given of what is not wanted.
    """

    direction: Tensor | Sequence[float] | None = None
    speed: Tensor | float | None = None
    moving_weight: Tensor | float | None = None
    facing_weight: Tensor | float | None = None
    action: Tensor | int | None = None
    goal: Tensor | Sequence[float] | None = None
    control_weight: Tensor | float = 1.0
    impulse: Tensor | str | None = None

    def __post_init__(self):
        if (self.direction is None) != (self.speed is None):
            raise DataError('control', 'direction, speed', f'{self.direction}, {self.speed}', 'both or none',
                            'E.g. MotionControl(direction=(0., 0., 1.), speed=1.2).')
        if self.action is not None and self.goal is not None:
            raise DataError('control', 'action, goal', 'both', 'one of them', 'A model has one adapter.')
        if self.direction is None and (self.moving_weight is not None or self.facing_weight is not None):
            raise DataError('control', 'moving_weight, facing_weight', f'{self.moving_weight}, {self.facing_weight}',
                            'none without direction and speed')


def control_of_window(controls: MotionControl | Sequence[MotionControl | None] | None, window: int,
                      ) -> MotionControl | None:
    """The control of window 0, 1, ...: that of its number; the only or last one holds on, but for its impulse.

    Raises:
        DataError: something else than controls.
    """
    given = [controls] if isinstance(controls, (MotionControl, type(None))) else controls
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise DataError('generation', 'controls', type(given).__name__, 'a MotionControl, a list of them, or None')
    if window < len(given):
        return given[window]
    return replace(given[-1], impulse=None) if len(given) and given[-1] is not None else None


def is_whole(number: object) -> bool:
    """Whether a number can count something."""
    try:
        index(number)
    except TypeError:
        return False
    return not isinstance(number, bool)
