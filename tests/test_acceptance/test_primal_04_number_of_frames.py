import pytest
import torch

from motionlab.apis import RolloutOptions, generate_motion
from motionlab.body import load_body
from motionlab.utils import ConfigError
from tests.motion_oracles import tiny_model, walking_seed


@pytest.mark.parametrize('order', [1, 2])
def test_primal_04_number_of_frames(order, small_body_file):
    """Requested N frames -> exactly N, for N = 1, n-1, n, n+1, 300, 1200; both variants; N<1 or seq_len too short =
    clear error, never a hang or NaN.
    """
    body = load_body(small_body_file)
    model = tiny_model(body, order)
    seed, betas = walking_seed(1)
    n = 16 - order

    def motion(count: int, **options: int) -> dict[str, torch.Tensor]:
        return generate_motion(model, body, seed, betas, count, generator=torch.Generator().manual_seed(0),
                               options=RolloutOptions(num_steps=1, **options))

    longest = motion(1200)
    for count in (1, n - 1, n, n + 1, 300, 1200):
        found = longest if count == 1200 else motion(count)
        assert {key: value.shape[:2] for key, value in found.items() if key != 'betas'} == dict.fromkeys(
            ('trans', 'root_orient', 'pose_body', 'body_joints', 'joints'), (1, count))
        for key, value in found.items():
            assert value.isfinite().all()
            if key != 'betas':
                torch.testing.assert_close(value, longest[key][:, :count], atol=1e-5, rtol=0)
    for count in (0, -3):
        with pytest.raises(ConfigError, match=f'num_frames={count}, expected at least 1'):
            motion(count)
    shortest = {1: 3, 2: 4}[order]
    assert motion(5, seq_len=shortest)['trans'].shape == (1, 5, 3)
    for seq_len in (shortest - 1, 0, -16):
        with pytest.raises(ConfigError, match=f'seq_len={seq_len}; generation with order={order} needs at least '
                                              f'{shortest} frames'):
            motion(5, seq_len=seq_len)
