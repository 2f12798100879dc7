import pytest
import torch

from motionlab.body.canonical_frame import CanonicalFrame
from motionlab.codecs import motion_batch as keys
from motionlab.models.motion_guidance import MovementGuidance, add_impulse
from motionlab.models.rollout_options import MotionControl
from motionlab.registry import MODELS
from tests.motion_batches import motion_batch
from tests.motion_models import model_config

FPS = 30.0


@pytest.mark.parametrize('order', [1, 2], ids=['velocity', 'acceleration'])
def test_primal_issue_06_units(order, small_body_file):
    """Units per quantity: features and loss have f for velocities and f^2 for accelerations, the rest none."""
    batch = motion_batch(3, 16)
    plain, metric = (MODELS.build(model_config(small_body_file, order, codec=dict(metric=unit))).eval()
                     for unit in (False, True))
    per_frame, per_second = plain.codec.encode(batch), metric.codec.encode(batch)
    factors = {keys.JOINTS: 1.0, keys.VELOCITY: FPS, keys.ACCELERATION: FPS ** 2}
    for name in plain.codec.features:
        torch.testing.assert_close(per_second[name], factors[name] * per_frame[name], rtol=1e-5, atol=1e-5)
    for name in ('trans', 'root', 'pose'):
        channels = plain.codec.blocks[name]
        assert torch.equal(per_second['inputs'][..., channels], per_frame['inputs'][..., channels])
    # True speeds of the bodies: the mean step of the pelvis between the frames of the window, in metres per second.
    joints = plain.codec.decode(per_frame['inputs'], per_frame['frame'], batch[keys.BETAS])[keys.BODY_JOINTS]
    steps = joints.diff(dim=1)[:, :, 0].norm(dim=-1)                                       # (B, n - 1)
    torch.testing.assert_close(per_second[keys.VELOCITY][:, :-1, 0].norm(dim=-1), FPS * steps, rtol=1e-3, atol=1e-4)
    last = (keys.VELOCITY, keys.ACCELERATION)[order - 1]
    found = {}
    for model, encoded in ((plain, per_frame), (metric, per_second)):
        clean = encoded['inputs']
        pred = torch.cat([clean[..., :135] + 0.01 * torch.randn(
            clean[..., :135].shape, generator=torch.Generator().manual_seed(0)), clean[..., 135:]], dim=-1)
        scale = model.codec.acceleration_scale if order == 2 else model.codec.velocity_scale
        assert scale == (factors[last] if model is metric else 1.0)
        found[model] = model.head.terms(pred, clean, model.codec.body_points(pred, batch[keys.BETAS]),
                                        encoded[keys.JOINTS], encoded[last], scale)
    torch.testing.assert_close(found[metric][last], factors[last] ** 2 * found[plain][last], rtol=1e-3, atol=0)
    torch.testing.assert_close(found[metric]['fk'], found[plain]['fk'])
    torch.testing.assert_close(found[metric]['simple'], found[plain]['simple'], rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize('metric', [False, True])
@pytest.mark.parametrize('order', [1, 2])
def test_primal_issue_06_wishes_are_velocities(order, metric, small_body_file):
    """Guidance and impulses are given in m/s: divided by f once where features are per frame, and never twice."""
    codec = MODELS.build(model_config(small_body_file, order, codec=dict(metric=metric))).codec
    expected = 1.0 if metric else 1 / FPS
    frame = CanonicalFrame(torch.eye(3)[None], torch.zeros(1, 3))
    guidance = MovementGuidance(MotionControl(direction=torch.tensor([0., 0., 2.]), speed=1.0), codec, frame)
    torch.testing.assert_close(guidance.wanted, torch.tensor([[0., 0., expected]]))
    impulse = torch.zeros(22, 3)
    impulse[4, 2] = 1.0
    pushed = add_impulse(torch.zeros(1, 1, codec.in_channels), impulse, codec)[0, 0]
    assert pushed[codec.blocks[keys.VELOCITY]].view(22, 3)[4].tolist() == pytest.approx([0, 0, expected])
    assert pushed.count_nonzero() == 1
