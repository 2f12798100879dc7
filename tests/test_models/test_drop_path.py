import pytest
import torch

from motionlab.models.layers import DropPath
from motionlab.utils.random import seed_iteration


@pytest.fixture(autouse=True)
def _leave_one_process():
    yield
    seed_iteration(seed=0, rank=0, world_size=1, iteration=0)


def test_draws_belong_to_samples_not_to_ranks():
    x = torch.ones(6, 4, 3, 2)                                # (B, F, L, D)
    found = torch.empty_like(x)
    seed_iteration(seed=7, rank=0, world_size=1, iteration=3)
    whole = DropPath(0.5)(x)
    for rank in range(2):
        seed_iteration(seed=7, rank=rank, world_size=2, iteration=3)
        found[rank::2] = DropPath(0.5)(x[rank::2])
    torch.testing.assert_close(found, whole, atol=0, rtol=0)


def test_whole_sequences_are_dropped_and_the_mean_stays():
    out = DropPath(0.2)(torch.full((200, 100, 3, 2), 2.0))
    per_sequence = out.flatten(2)
    assert torch.equal(per_sequence.amin(-1), per_sequence.amax(-1))
    assert per_sequence.unique().tolist() == pytest.approx([0.0, 2.5])
    assert out.mean().item() == pytest.approx(2, abs=0.02)


def test_identity_in_evaluation_and_without_probability():
    x = torch.randn(4, 5, 6)
    assert DropPath(0.5).eval()(x) is x and DropPath(0.0)(x) is x


@pytest.mark.parametrize('p', [-0.1, 1.0])
def test_bad_probability(p):
    with pytest.raises(ValueError, match=str(p)):
        DropPath(p)
