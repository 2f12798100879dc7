import pytest
import torch

from motionlab.apis import MotionControl, RolloutOptions, generate_motion
from motionlab.body import load_body
from tests.motion_oracles import steady_model, tiny_model, walking_seed


def _generate(model, body, seed, betas, count, control=None, **options):
    return generate_motion(model, body, seed, betas, count, generator=torch.Generator().manual_seed(0),
                           controls=control, options=RolloutOptions(num_steps=3, **options))


@pytest.mark.parametrize('order', [1, 2])
def test_primal_16_snapping(order, small_body_file):
    """Snap: after the whole pipeline the lowest joint is at 0.01 m (1e-4) in snapped mode, joints block consistent with
    FK(xb); off = jumps kept.
    """
    body = load_body(small_body_file)
    random, steady = tiny_model(body, order), steady_model(body, order)
    seed, betas = walking_seed(3)
    step, windows = 15 - order, 4
    for inertialise in (True, False):
        motion = _generate(random, body, seed, betas, windows * step + 1, snap=True, inertialise=inertialise)
        lowest = motion['body_joints'][..., 1].amin(dim=(1, 2))                            # (B,)
        torch.testing.assert_close(lowest, torch.full((3,), 0.01), atol=1e-4, rtol=0)

    # Where the network's joints are those of its body, they still are after being moved.
    motion = _generate(steady, body, seed, betas, windows * step + 1, snap=True)
    torch.testing.assert_close(motion['joints'], motion['body_joints'], atol=2e-5, rtol=0)
    lowest = motion['body_joints'][..., 1].amin(dim=2)                                     # (B, N)
    torch.testing.assert_close(lowest, torch.full_like(lowest, 0.01), atol=1e-4, rtol=0)
    jump = MotionControl(impulse='jump')
    rising = _generate(steady, body, seed, betas, step, control=[jump], snap=False)
    height = rising['body_joints'][..., 1].amin(dim=2)                                     # (B, n - 1)
    torch.testing.assert_close(height[:, -1] - height[:, 0], torch.full((3,), 0.1 * (step - 1)), atol=1e-3, rtol=0)
    risen = _generate(steady, body, seed, betas, 2 * step, control=[jump], snap=True)      # Pulled down again.
    assert risen['body_joints'][:, step:, :, 1].amin((1, 2)).max() < 0.06
