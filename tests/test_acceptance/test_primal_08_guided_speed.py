import pytest
import torch

from motionlab.apis import LegacySwitches, MotionControl, RolloutOptions, generate_motion
from motionlab.body import load_body
from motionlab.models.motion_guidance import facing_push
from tests.motion_oracles import steady_model, walking_seed

WINDOWS = 8


def guided_speeds(body, form: dict, legacy: LegacySwitches, *directions: tuple) -> torch.Tensor:
    """(B, N - 1, 3) m/s of bodies asked for 1.5 m/s, of a network that integrates what it hears; no noise."""
    model = steady_model(body, 2, listens=True, **form)
    seed, betas = walking_seed()
    controls = [MotionControl(direction=direction, speed=1.5, moving_weight=1.0, facing_weight=0)
                for direction in directions for _ in range(WINDOWS)]
    noise = torch.zeros(2, len(controls), 10, 14, model.codec.in_channels)
    motion = generate_motion(model, body, seed, betas, 13 * len(controls) + 1, noise=noise, controls=controls,
                             options=RolloutOptions(legacy=legacy))
    return 30 * motion['body_joints'].diff(dim=1).mean(2)


@pytest.mark.parametrize('metric', [False, True])
def test_primal_08_guided_speed(metric, small_body_file):
    """Acceleration guidance reaches a target *speed* and holds it on a toy integrator; facing gradient equals autograd.
    """
    body = load_body(small_body_file)
    speeds = guided_speeds(body, dict(metric=metric), LegacySwitches(), (1., 0., 0.), (0., 0., -3.))
    turn = 13 * WINDOWS
    for part, wanted in ((speeds[:, 26:turn], (1.5, 0., 0.)), (speeds[:, turn + 26:], (0., 0., -1.5))):
        torch.testing.assert_close(part, torch.tensor(wanted).expand_as(part), atol=0.02, rtol=0)
    # The original asks for an acceleration: it never stops speeding up.
    along = guided_speeds(body, dict(metric=metric), LegacySwitches(guide_acceleration=True), (1., 0., 0.))[..., 0]
    assert (along[:, ::13].diff(dim=1) > 1.0).all() and along[:, -1].min() > 10

    torch.manual_seed(0)
    joints = torch.randn(4, 22, 3, dtype=torch.float64, requires_grad=True)
    wanted = torch.randn(4, 3, dtype=torch.float64)
    x = (joints[:, 1] - joints[:, 2]) * torch.tensor([1., 0., 1.])
    x = x / x.norm(dim=-1, keepdim=True)
    z = torch.linalg.cross(x, torch.tensor([0., 1., 0.]).double().expand_as(x), dim=-1)
    gradient = torch.autograd.grad((z - wanted / (wanted.norm(dim=-1, keepdim=True) + 1e-6)).square().sum(), joints)[0]
    push = facing_push(joints.detach(), wanted)
    torch.testing.assert_close(push, -gradient[:, 1])
    torch.testing.assert_close(push, gradient[:, 2])
    assert (gradient[:, 3:] == 0).all() and (gradient[:, 0] == 0).all()
