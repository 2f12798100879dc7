import pytest
import torch

from motionlab.body import load_body
from motionlab.models.motion_rollout import MotionRollout
from motionlab.models.rollout_options import RolloutOptions
from tests.motion_oracles import tiny_model, walking_seed


@pytest.mark.parametrize('order, seq_len, frames', [(1, 16, 15), (2, 16, 14), (1, 3, 2), (2, 4, 2), (2, 31, 29)])
def test_primal_issue_04_window_length(order, seq_len, frames, small_body_file):
    """nt_tw = seq_len-2: right (acceleration; seq_len-1 for velocity)."""
    body = load_body(small_body_file)
    rollout = MotionRollout(tiny_model(body, order), RolloutOptions(num_steps=1, seq_len=seq_len))
    assert rollout.num_frames == rollout.noise_shape[1] == frames == seq_len - order
    seed, betas = walking_seed()
    state = rollout.begin({**{key: value[:, :order + 1] for key, value in seed.items()}, 'betas': betas})
    window, _ = rollout.step(state, torch.zeros(1, 2, *rollout.noise_shape[1:]))
    assert window.features.shape == (2, frames, rollout.codec.in_channels)
