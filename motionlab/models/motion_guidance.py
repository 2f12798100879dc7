"""Pushing generated motion: guidance of where to move and face, and impulses. Nothing in place.

Source: Zhang et al., PRIMAL, ICCV 2025 (arXiv 2503.17544). The gradients are written out instead of differentiated.
"""

from collections.abc import Sequence
from types import MappingProxyType

import torch
from torch import Tensor

from motionlab.body.canonical_frame import LEFT_HIP, RIGHT_HIP, CanonicalFrame, vectors_to_frame
from motionlab.codecs import motion_batch as keys
from motionlab.codecs.motion_encoding import MotionEncoding
from motionlab.models.rollout_options import MotionControl
from motionlab.utils import ConfigError, DataError

# Joints and what is added to their velocity: m/s to the left, up and forward. Published as 0.5 or 1 m per frame.
IMPULSES = MappingProxyType({
    'left_kick': ((4, 7), (0., 0., 15.)),
    'right_kick': ((5, 8), (0., 0., 15.)),
    'run_forward': ((0, 12, 16, 17), (0., 0., 15.)),
    'flip_back': ((15,), (0., 0., -30.)),
    'roll_forward': ((15, 16, 17, 18, 19), (0., -15., 15.)),
    'jump': (tuple(range(keys.NUM_JOINTS)), (0., 3., 0.)),
})

_MOVING, _FACING = 50.0, 25.0
_METRIC_SHARE = 0.01
_PUBLISHED_FPS = 30
_TINY_M = 1e-6


def impulse_velocity(name: str) -> Tensor:
    """(22, 3) m/s of a named impulse, along the axes of the body: left, up, forward; DataError for unknown names."""
    if name not in IMPULSES:
        raise DataError('control', 'impulse', repr(name), f'one of {tuple(IMPULSES)}, or m/s of every joint')
    joints, velocity = IMPULSES[name]
    impulse = torch.zeros(keys.NUM_JOINTS, 3)
    impulse[list(joints)] = torch.tensor(velocity)
    return impulse


def add_impulse(seed: Tensor, impulse: Tensor | str, codec: MotionEncoding, in_features: bool = False) -> Tensor:
    """Seeds (B, 1, D) whose joints are suddenly faster.

    The impulse goes to the velocity; where features hold accelerations only, to those, as what changes the velocity so
    much within a frame.

    Args:
        seed: (B, 1, D) as the network sees it.
        impulse: A name, or (22, 3) or (B, 22, 3) m/s in the canonical axes.
        codec: Of these features.
        in_features: v m/s are v / 30 feature units, added to the highest difference, as in the original.

    Returns:
        (B, 1, D), a new tensor.

    Raises:
        DataError: an unknown name or a wrong shape.
        ConfigError: features are of markers.
    """
    _check_joints(codec, 'an impulse')
    impulse = impulse_velocity(impulse) if isinstance(impulse, str) else impulse
    impulse = rows(impulse, 'impulse', (keys.NUM_JOINTS, 3), seed)                         # (B, 22, 3)
    if in_features:
        name, scale = codec.features[-1], 1 / _PUBLISHED_FPS
    elif keys.VELOCITY in codec.features:
        name, scale = keys.VELOCITY, codec.velocity_scale / codec.fps
    else:
        name, scale = keys.ACCELERATION, codec.acceleration_scale / codec.fps
    push = torch.zeros_like(seed)
    push[..., codec.blocks[name]] = scale * impulse.flatten(1)[:, None]
    return seed + codec.normalise(push)


class MovementGuidance:
    """Gradient of how far predicted windows are from moving and facing as wanted, downhill.

    Moving: the square of (mean velocity over frames and points - wanted), per frame and point without division by
    their number. Where features hold no velocity it is that of the points: their mean difference, and each frame is
    pushed as far as the earlier ones have gone. Facing: the square of (forward axis of the last pose - wanted
    direction), with respect to its hips.

    Args:
        control: With ``direction`` and ``speed``.
        codec: Of the features.
        frame: Frames (B,) of the windows.
        of_acceleration: Guide the mean acceleration instead of the mean velocity, as the original does where features
            hold accelerations.

    Raises:
        DataError: a direction of length zero, or a wrong shape.
        ConfigError: facing is to be guided in features of markers.
    """

    def __init__(self, control: MotionControl, codec: MotionEncoding, frame: CanonicalFrame,
                 of_acceleration: bool = False):
        like, share = frame.origin, _METRIC_SHARE if codec.metric else 1.0
        direction = rows(control.direction, 'direction', (3,), like)                       # (B, 3)
        length = direction.norm(dim=-1, keepdim=True)                                      # (B, 1)
        if length.device.type == 'cpu' and not (length > 0).all():
            raise DataError('control', 'direction', 'length zero', 'a direction', 'To stand still, give speed 0.')
        speed = rows(control.speed, 'speed', (), like)                                     # (B,)
        metres = vectors_to_frame(speed[:, None] * direction / length, frame)              # (B, 3) m/s
        self.codec, self.of_acceleration = codec, of_acceleration and keys.ACCELERATION in codec.features
        self.wanted = metres * (codec.velocity_scale / codec.fps)                          # (B, 3) feature units
        self.moving, self.facing = (
            rows(share * default if given is None else given, name, (), like)              # (B,)
            for name, given, default in (('moving_weight', control.moving_weight, _MOVING),
                                         ('facing_weight', control.facing_weight, _FACING)))
        self.faces = control.facing_weight is None or not _is_zero(control.facing_weight)
        if self.faces:
            _check_joints(codec, 'facing guidance; give facing_weight=0')

    def __call__(self, x0: Tensor) -> Tensor:
        """Predicted windows (B, n, D) -> push (B, n, D) as the network sees features."""
        blocks = self.codec.split(self.codec.denormalise(x0))                              # (B, n, P, 3) each
        pushes = {name: torch.zeros_like(block) for name, block in blocks.items()}
        weight = self.moving[:, None]                                                      # (B, 1)
        name = keys.ACCELERATION if self.of_acceleration else keys.VELOCITY
        points = blocks[self.codec.layout.points]
        if name in blocks:
            pushes[name] += (weight * moving_push(blocks[name].mean((1, 2)), self.wanted))[:, None, None]
        else:
            scale = self.codec.velocity_scale
            mean = scale * (points[:, -1] - points[:, 0]).mean(1) / (points.shape[1] - 1)  # (B, 3)
            push = weight * moving_push(mean, self.wanted) / scale                         # (B, 3) m per frame
            passed = torch.arange(points.shape[1], device=x0.device)                       # (n,)
            pushes[self.codec.layout.points] += passed[:, None, None] * push[:, None, None]
        if self.faces:
            push = self.facing[:, None] * facing_push(points[:, -1], self.wanted)          # (B, 3)
            pushes[self.codec.layout.points][:, -1, LEFT_HIP] += push
            pushes[self.codec.layout.points][:, -1, RIGHT_HIP] -= push
        body = torch.zeros_like(x0[..., :self.codec.blocks['pose'].stop])
        return self.codec.normalise(torch.cat([body, *(push.flatten(2) for push in pushes.values())], dim=-1))


def moving_push(mean: Tensor, wanted: Tensor) -> Tensor:
    """Minus the gradient of |mean - wanted|^2 with respect to the mean; all (B, 3)."""
    return 2 * (wanted - mean)


def facing_push(joints: Tensor, wanted: Tensor) -> Tensor:
    """Minus the gradient of |z - w|^2 with respect to the left hip, z the forward axis and w the wanted direction.

    The gradient with respect to the right hip is the opposite. Where one hip is above the other there is no forward
    axis, and no push.

    Args:
        joints: (B, J, 3) metres, Y up.
        wanted: (B, 3) of any length; w is ``wanted / (|wanted| + 1e-6)``.

    Returns:
        (B, 3)
    """
    axis = (joints[:, LEFT_HIP] - joints[:, RIGHT_HIP]) * joints.new_tensor([1., 0., 1.])  # (B, 3)
    length = axis.norm(dim=-1, keepdim=True)                                               # (B, 1)
    known = length > _TINY_M
    length = torch.where(known, length, 1)
    x = axis / length
    z = torch.stack([-x[:, 2], torch.zeros_like(x[:, 0]), x[:, 0]], dim=-1)                # (B, 3), x cross y
    error = 2 * (z - wanted / (wanted.norm(dim=-1, keepdim=True) + 1e-6))                  # (B, 3)
    pull = torch.stack([error[:, 2], torch.zeros_like(error[:, 0]), -error[:, 0]], dim=-1)  # (B, 3)
    gradient = (pull - (x * pull).sum(-1, keepdim=True) * x) / length                      # (B, 3)
    return torch.where(known, -gradient, 0)


def rows(value: Tensor | float | Sequence[float], name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """A value of all sequences, or of each, as (B, *shape) in dtype and on the device of ``like`` (B, ...).

    Raises:
        DataError: no numbers, another shape, or numbers that are not finite.
    """
    value = as_numbers(value, name)
    if value.device.type == 'cpu' and not value.isfinite().all():
        raise DataError('control', name, 'NaN or infinity', 'finite numbers')
    count = len(like)
    if tuple(value.shape) not in (shape, (1, *shape), (count, *shape)):
        raise DataError('control', name, f'shape {tuple(value.shape)}', f'{shape} or {(count, *shape)}')
    return value.to(like).expand(count, *shape)


def as_numbers(value: object, name: str) -> Tensor:
    """Any number or nested list of numbers as a tensor; DataError for anything else."""
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError('control', name, repr(value), 'numbers') from error


def _is_zero(weight: Tensor | float) -> bool:
    return not isinstance(weight, Tensor) and weight == 0


def _check_joints(codec: MotionEncoding, what: str) -> None:
    if codec.layout.points != keys.JOINTS:
        raise ConfigError(f'MotionEncoding: found features={codec.features}, which hold no joints for {what}.')
