"""Guidance against autograd, impulses, and values of one or all sequences."""

import pytest
import torch

from motionlab.body.canonical_frame import CanonicalFrame, vectors_to_frame
from motionlab.codecs import MotionEncoding
from motionlab.models.motion_guidance import MovementGuidance, add_impulse, facing_push, impulse_velocity, rows
from motionlab.models.rollout_options import MotionControl
from motionlab.utils import ConfigError, DataError

FORMS = {'velocity': dict(order=1), 'metric': dict(order=1, metric=True), 'acceleration': dict(order=2),
         'metric acceleration': dict(order=2, metric=True), 'axis-angle': dict(order=2, rotation='axis_angle'),
         'old acceleration': dict(order=2, features=('joints', 'acceleration')),
         'old metric acceleration': dict(order=2, features=('joints', 'acceleration'), metric=True)}


def _frames(size: int) -> CanonicalFrame:
    angle = torch.arange(size) * 1.1
    zero, one = torch.zeros(size), torch.ones(size)
    rows_of = [torch.stack(row, dim=-1) for row in ((angle.cos(), zero, angle.sin()), (zero, one, zero),
                                                    (-angle.sin(), zero, angle.cos()))]
    return CanonicalFrame(torch.stack(rows_of, dim=-2), torch.randn(size, 3))


def _control(**changes: object) -> MotionControl:
    return MotionControl(**{'direction': torch.tensor([[2., 0., 0.], [0., 0., -1.], [1., 0., 1.]]),
                            'speed': torch.tensor([1., 4., 2.5]), **changes})


@pytest.mark.parametrize('form', FORMS)
def test_guidance_is_the_gradient(form):
    torch.manual_seed(0)
    codec, frame = MotionEncoding(**FORMS[form]), _frames(3)
    x0 = torch.randn(3, 6, codec.in_channels, requires_grad=True)
    moving, facing = torch.tensor([0.7, 0.0, 2.0]), 0.4
    found = MovementGuidance(_control(moving_weight=moving, facing_weight=facing), codec, frame)(x0.detach())

    control = _control()
    metres = control.speed[:, None] * torch.nn.functional.normalize(control.direction, dim=-1)
    wanted = vectors_to_frame(metres, frame) * (1 if codec.metric else 1 / 30)
    blocks = codec.split(x0)
    last = blocks['joints'][:, -1]
    x = torch.nn.functional.normalize((last[:, 1] - last[:, 2]) * torch.tensor([1., 0., 1.]), dim=-1)
    z = torch.linalg.cross(x, torch.tensor([0., 1., 0.]).expand_as(x), dim=-1)
    loss = facing * (z - wanted / (wanted.norm(dim=-1, keepdim=True) + 1e-6)).square().sum()
    expected = -torch.autograd.grad(loss, x0)[0]
    # The mean is moved as a whole: each frame and point by the gradient with respect to the mean.
    if 'velocity' in blocks:
        mean = blocks['velocity'].mean((1, 2)).detach()
        expected[..., codec.blocks['velocity']] -= (2 * moving[:, None] * (mean - wanted))[:, None].repeat(1, 1, 22)
    else:
        joints, scale = blocks['joints'].detach(), 30 if codec.metric else 1
        mean = joints.diff(dim=1).mean((1, 2)) * scale
        step = -(2 * moving[:, None] * (mean - wanted)) / scale                            # (3, 3) m per frame
        expected[..., codec.blocks['joints']] += (torch.arange(6)[:, None] * step[:, None]).repeat(1, 1, 22)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_default_weights_are_those_published():
    frame, control = _frames(3), _control()
    for form, moving, facing in (('velocity', 50, 25), ('metric', 0.5, 0.25), ('acceleration', 50, 25)):
        guidance = MovementGuidance(control, MotionEncoding(**FORMS[form]), frame)
        assert torch.equal(guidance.moving, torch.full((3,), moving).float())
        assert torch.equal(guidance.facing, torch.full((3,), facing).float())


def test_the_original_guides_the_acceleration():
    codec, frame = MotionEncoding(order=2), _frames(3)
    x0 = torch.randn(3, 6, codec.in_channels)
    control = _control(moving_weight=1.0, facing_weight=0)
    wanted = MovementGuidance(control, codec, frame).wanted
    push = codec.split(MovementGuidance(control, codec, frame, of_acceleration=True)(x0))
    mean = codec.split(x0)['acceleration'].mean((1, 2))
    torch.testing.assert_close(push['acceleration'], (-2 * (mean - wanted))[:, None, None].expand(3, 6, 22, 3))
    assert (push['velocity'] == 0).all() and (push['joints'] == 0).all()
    velocity = MotionEncoding(order=1)  # Has none to guide.
    x0 = x0[..., :velocity.in_channels]
    assert torch.equal(MovementGuidance(control, velocity, frame, True)(x0),
                       MovementGuidance(control, velocity, frame)(x0))


def test_normalised_blocks_are_pushed_as_far():
    torch.manual_seed(0)
    plain, scaled, frame = MotionEncoding(), MotionEncoding(block_normalisation=True), _frames(3)
    scaled.scales.scales.copy_(torch.rand(len(scaled.blocks)) + 0.5)
    scaled.scales.fitted.fill_(True)
    x0 = torch.randn(3, 6, plain.in_channels)
    expected = MovementGuidance(_control(), plain, frame)(x0)
    found = MovementGuidance(_control(), scaled, frame)(scaled.normalise(x0))
    torch.testing.assert_close(scaled.denormalise(found), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(scaled.denormalise(add_impulse(scaled.normalise(x0[:, :1]), 'jump', scaled)),
                               add_impulse(x0[:, :1], 'jump', plain), atol=1e-5, rtol=1e-5)


def test_vertical_hips_are_not_turned():
    joints = torch.zeros(2, 22, 3)
    joints[0, 1] = torch.tensor([0., 0.2, 0.])
    joints[1, 1] = torch.tensor([0.2, 0.3, 0.])
    push = facing_push(joints, torch.tensor([[1., 0., 0.]]).expand(2, 3))
    assert push.isfinite().all() and (push[0] == 0).all() and push[1].norm() > 1
    assert (facing_push(joints, torch.zeros(2, 3))[1] == 0).all()  # Wherever it faces, it is as far from nowhere.


def test_bad_controls_are_refused():
    codec, frame = MotionEncoding(), _frames(3)
    with pytest.raises(DataError, match='length zero'):
        MovementGuidance(_control(direction=(0., 0., 0.)), codec, frame)
    with pytest.raises(DataError, match=r'speed: found shape \(2,\)'):
        MovementGuidance(_control(speed=torch.ones(2)), codec, frame)
    with pytest.raises(DataError, match='NaN or infinity'):
        rows(float('nan'), 'speed', (), frame.origin)
    with pytest.raises(DataError, match='both or none'):
        MotionControl(direction=(1., 0., 0.))
    with pytest.raises(DataError, match='one of them'):
        MotionControl(action=1, goal=(0., 1.))
    with pytest.raises(DataError, match="direction: found 'north', expected numbers"):
        MovementGuidance(_control(direction='north'), codec, frame)
    for weight in ('moving_weight', 'facing_weight'):
        with pytest.raises(DataError, match='none without direction and speed'):
            MotionControl(**{weight: 1.0})
    with pytest.raises(DataError, match='left_kick'):
        impulse_velocity('kick')
    seed = torch.zeros(3, 1, codec.in_channels)
    with pytest.raises(DataError, match='impulse'):
        add_impulse(seed, torch.zeros(2, 22, 3), codec)
    markers = MotionEncoding(features=('markers', 'velocity'), marker_ids=(0, 1, 2))
    with pytest.raises(ConfigError, match='no joints'):
        add_impulse(torch.zeros(3, 1, markers.in_channels), 'jump', markers)
    with pytest.raises(ConfigError, match='facing_weight=0'):
        MovementGuidance(_control(), markers, frame)
    push = MovementGuidance(_control(facing_weight=0), markers, frame)(torch.zeros(3, 4, markers.in_channels))
    assert push[..., markers.blocks['velocity']].abs().min(-1).values.shape == (3, 4)
