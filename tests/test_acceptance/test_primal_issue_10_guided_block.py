import pytest
import torch

from motionlab.apis import LegacySwitches, MotionControl
from motionlab.body import load_body
from motionlab.body.canonical_frame import CanonicalFrame
from motionlab.codecs import MotionEncoding
from motionlab.models.motion_guidance import MovementGuidance
from tests.test_acceptance.test_primal_08_guided_speed import guided_speeds


@pytest.mark.parametrize('features', [None, ('joints', 'acceleration')])
def test_primal_issue_10_guided_block(features, small_body_file):
    """guidance slices correct: slices right in both; meaning wrong: drives the *mean acceleration* to the target
    velocity -> guide the velocity block [-132:-66]; for [xb,p,a] use mean joint difference; legacy switch.
    """
    codec = MotionEncoding(order=2, features=features)
    frame = CanonicalFrame(torch.eye(3)[None], torch.zeros(1, 3))
    control = MotionControl(direction=(0., 0., 1.), speed=1.5, moving_weight=1.0, facing_weight=0)
    x0 = torch.randn(1, 14, codec.in_channels)
    push = MovementGuidance(control, codec, frame)(x0)[0]
    guided = {channel for channel in range(codec.in_channels) if push[1:, channel].abs().max() > 0}
    if features is None:
        assert guided == set(range(codec.in_channels - 132, codec.in_channels - 66)) == set(range(201, 267))
        speed = x0[0, :, -132:-66].unflatten(-1, (22, 3)).mean((0, 1))
    else:
        assert guided == set(range(135, 201))  # Joints.
        speed = x0[0, :, 135:201].unflatten(-1, (22, 3)).diff(dim=0).mean((0, 1))
        push = push.diff(dim=0)[:, 135:201]  # What the push adds to each joint difference.
        torch.testing.assert_close(push, push[:1].expand_as(push), atol=1e-6, rtol=1e-5)
    wanted = torch.tensor([0., 0., 0.05])
    found = push[0, 201:204] if features is None else push[0, :3]
    torch.testing.assert_close(found, 2 * (wanted - speed), atol=1e-6, rtol=1e-5)
    legacy = MovementGuidance(control, codec, frame, of_acceleration=True)(x0)[0]
    assert {channel for channel in range(codec.in_channels) if legacy[:, channel].abs().max() > 0} == set(
        range(codec.in_channels - 66, codec.in_channels))
    if features is None:
        fixed, original = (guided_speeds(load_body(small_body_file), {}, LegacySwitches(guide_acceleration=switch),
                                         (1., 0., 0.)) for switch in (False, True))
        assert abs(fixed[0, -1, 0] - 1.5) < 0.02 and original[0, -1, 0] > 10
