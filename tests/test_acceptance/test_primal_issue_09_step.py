import pytest
import torch

from motionlab.apis import RolloutOptions, generate_motion
from motionlab.body import load_body
from motionlab.models.motion_rollout import MotionRollout
from motionlab.utils import ConfigError
from tests.motion_oracles import steady_model, walking_seed


@pytest.mark.parametrize('rotation', ['6d', 'axis_angle'])
def test_primal_issue_09_step(rotation, small_body_file):
    """step nt_tw-2: consistent with #8 and equally wrong; seq_len 4 gives step 0: **never ends** (aa mode; 6D mode
    crashes) -> step n-1; refuse n < 2.
    """
    body = load_body(small_body_file)
    model = steady_model(body, 2, rotation=rotation)
    seed, betas = walking_seed()
    shortest = RolloutOptions(num_steps=1, seq_len=4)
    for seq_len, count, windows in ((16, 27, 2), (16, 28, 3), (4, 2, 1), (4, 9, 8), (16, 1, 1)):
        assert MotionRollout(model, RolloutOptions(seq_len=seq_len)).num_windows(count) == windows
    motion = generate_motion(model, body, seed, betas, 9, generator=torch.Generator().manual_seed(0), options=shortest)
    steps = motion['trans'].diff(dim=1).norm(dim=-1)                                       # (B, 8)
    torch.testing.assert_close(steps, torch.full((2, 8), 0.02), atol=1e-5, rtol=0)
    with pytest.raises(ConfigError, match='seq_len=3; generation with order=2 needs at least 4 frames'):
        generate_motion(model, body, seed, betas, 9, generator=torch.Generator(), options=RolloutOptions(seq_len=3))
