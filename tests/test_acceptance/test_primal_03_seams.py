from itertools import pairwise

import pytest
import torch

from motionlab.apis import RolloutOptions, generate_motion
from motionlab.body import load_body
from motionlab.models.motion_rollout import MotionRollout
from tests.motion_oracles import steady_model, tiny_model, walking_seed


@pytest.mark.parametrize('order', [1, 2])
@pytest.mark.parametrize('metric', [False, True])
def test_primal_03_seams(order, metric, small_body_file):
    """Seams: constant-speed oracle denoiser gives constant steps over 4+ windows, both variants; no frame lost or
    doubled; frame 0 = seed.
    """
    body = load_body(small_body_file)
    model = steady_model(body, order, metric=metric)
    seed, betas = walking_seed()
    count = 20 * (15 - order) + 1
    for options in (RolloutOptions(num_steps=2), RolloutOptions(num_steps=2, inertialise=False, reproject=True)):
        motion = generate_motion(model, body, seed, betas, count, generator=torch.Generator().manual_seed(0),
                                 options=options)
        for points in (motion['body_joints'], motion['joints'], motion['trans'][:, :, None]):
            steps = points.diff(dim=1)                                                     # (B, N - 1, J, 3)
            torch.testing.assert_close(steps, steps[:, :1].expand_as(steps), atol=2e-5, rtol=0)
        torch.testing.assert_close(motion['trans'].diff(dim=1).norm(dim=-1), torch.full((2, count - 1), 0.02),
                                   atol=2e-5, rtol=0)
        for key, value in seed.items():
            torch.testing.assert_close(motion[key][:, 0], value[:, 0], atol=1e-5, rtol=0)

    # Whatever the network answers, windows begin where the last one ended.
    rollout = MotionRollout(tiny_model(body, order), RolloutOptions(num_steps=2))
    frames = {key: value[:, :order + 1] for key, value in seed.items()}
    state = rollout.begin({**frames, 'betas': betas})
    windows = []
    for number in range(3):
        noise = torch.randn(2, 2, *rollout.noise_shape[1:], generator=torch.Generator().manual_seed(number))
        window, state = rollout.step(state, noise)
        torch.testing.assert_close(window.features[:, :1], window.seed, atol=1e-6, rtol=0)
        windows.append(rollout.decode([window], betas))
    for before, after in pairwise(windows):
        for key in ('trans', 'body_joints', 'joints'):
            torch.testing.assert_close(after[key][:, 0], before[key][:, -1], atol=1e-5, rtol=0)
