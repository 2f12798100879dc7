import random

import numpy as np
import torch

from motionlab.utils.random import batch_rand, derive_seed, seed_iteration


def _draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), torch.rand(()).item()  # noqa: NPY002


def test_global_generators_depend_on_seed_rank_and_iteration_only():
    seed_iteration(7, 0, 2, 30)
    first = _draws()
    torch.rand(100)
    seed_iteration(7, 0, 2, 30)
    assert _draws() == first
    others = [(8, 0, 2, 30), (7, 1, 2, 30), (7, 0, 2, 31), (7, 0, 2, 30, 'val')]
    for other in others:
        seed_iteration(*other)
        assert not set(_draws()) & set(first), other


def test_batch_rand_deals_the_global_batch_out():
    seed_iteration(1, 0, 1, 5)
    whole = batch_rand((6, 3))
    second = batch_rand((6, 3))
    for rank in range(3):
        seed_iteration(1, rank, 3, 5)
        torch.rand(rank)  # The global generators do not matter.
        assert torch.equal(batch_rand((2, 3)), whole[rank::3])
        assert torch.equal(batch_rand((2, 3)), second[rank::3])


def test_batch_rand_leaves_the_global_generator_alone():
    seed_iteration(1, 0, 1, 5)
    expected = torch.rand(2)
    seed_iteration(1, 0, 1, 5)
    batch_rand((4,))
    assert torch.equal(torch.rand(2), expected)


def test_batch_rand_is_uniform():
    seed_iteration(3, 0, 1, 0)
    drawn = batch_rand((20000,))
    assert drawn.min() >= 0 and drawn.max() < 1
    assert abs(drawn.mean() - 0.5) < 0.01 and abs(drawn.var() - 1 / 12) < 0.005


def test_derived_seeds_keep_words_apart():
    assert len({derive_seed(a, b) for a in range(30) for b in range(30)}) == 900
    assert torch.Generator().manual_seed(derive_seed(2**40, 3)).initial_seed() >= 0
