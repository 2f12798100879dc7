import pytest
import torch

from motionlab.models.layers import BatchDropout
from motionlab.utils.random import seed_iteration


def _dropped(rank: int, world: int, iteration: int = 3) -> torch.Tensor:
    """What rank ``rank`` of ``world`` makes of its rows of a global batch of 6."""
    seed_iteration(seed=7, rank=rank, world_size=world, iteration=iteration)
    return BatchDropout(0.4)(torch.arange(1.0, 7)[:, None].repeat(1, 50)[rank::world])


@pytest.fixture(autouse=True)
def _leave_one_process():
    yield
    seed_iteration(seed=0, rank=0, world_size=1, iteration=0)


def test_masks_belong_to_samples_not_to_ranks():
    whole = _dropped(0, 1)
    for world in (2, 3):
        rows = torch.empty_like(whole)
        for rank in range(world):
            rows[rank::world] = _dropped(rank, world)
        torch.testing.assert_close(rows, whole, atol=0, rtol=0)
    assert not torch.equal(whole, _dropped(0, 1, iteration=4))
    torch.testing.assert_close(whole, _dropped(0, 1), atol=0, rtol=0)


def test_same_law_as_nn_dropout():
    x = torch.full((500, 400), 2.0)
    out = BatchDropout(0.25)(x)
    assert out.unique().tolist() == pytest.approx([0.0, 2 / 0.75])
    assert (out == 0).float().mean().item() == pytest.approx(0.25, abs=0.005)
    assert not torch.equal(out[0], out[1])


def test_identity_in_evaluation_and_without_probability():
    x = torch.randn(4, 5)
    assert BatchDropout(0.5).eval()(x) is x
    assert BatchDropout(0.0)(x) is x


def test_gradient_and_precision_follow_the_mask():
    x = torch.randn(50, 50, dtype=torch.bfloat16, requires_grad=True)
    out = BatchDropout(0.5)(x)
    out.sum().backward()
    assert out.dtype is torch.bfloat16
    torch.testing.assert_close(x.grad, torch.where(out == 0, 0.0, 2.0).bfloat16())


@pytest.mark.parametrize('p', [-0.1, 1.0])
def test_bad_probability(p):
    with pytest.raises(ValueError, match=str(p)):
        BatchDropout(p)
