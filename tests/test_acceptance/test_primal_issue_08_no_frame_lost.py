import pytest
import torch

from motionlab.apis import RolloutOptions, generate_motion
from motionlab.body import load_body
from motionlab.models.motion_rollout import MotionRollout
from tests.motion_oracles import steady_model, tiny_model, walking_seed


@pytest.mark.parametrize('order', [1, 2])
def test_primal_issue_08_no_frame_lost(order, small_body_file):
    """`[:-2]` fine for seq_len >= 4: **wrong: one frame lost per seam.** With an oracle denoiser of constant speed the
    step at every seam is 0.04 instead of 0.02 m -> emit `[:-1]`.
    """
    body = load_body(small_body_file)
    seed, betas = walking_seed(speed=0.02)
    windows, step = 6, 15 - order
    motion = generate_motion(steady_model(body, order), body, seed, betas, windows * step,
                             generator=torch.Generator().manual_seed(0), options=RolloutOptions(num_steps=1))
    steps = motion['trans'].diff(dim=1).norm(dim=-1)                                       # (B, N - 1)
    torch.testing.assert_close(steps, torch.full_like(steps, 0.02), atol=1e-5, rtol=0)

    rollout = MotionRollout(tiny_model(body, order), RolloutOptions(num_steps=1))
    state = rollout.begin({**{key: value[:, :order + 1] for key, value in seed.items()}, 'betas': betas})
    found = []
    for number in range(3):
        noise = torch.randn(1, 2, *rollout.noise_shape[1:], generator=torch.Generator().manual_seed(number))
        window, state = rollout.step(state, noise)
        found.append(window)
    whole = rollout.decode(found, betas)['trans']
    each = [rollout.decode([window], betas, last=False)['trans'] for window in found]
    assert [part.shape[1] for part in each] == [step] * 3 and whole.shape[1] == 3 * step + 1
    torch.testing.assert_close(whole[:, :-1], torch.cat(each, dim=1), atol=1e-5, rtol=0)
