import random

import numpy as np
import pytest
import torch

from motionlab.utils.random import batch_rand, batch_randn, derive_seed, replay_batch_rand, row_randn, seed_iteration


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


@pytest.mark.parametrize('drawn_before', [0, 3])
def test_replayed_draws_are_those_recorded_and_the_stream_goes_on(drawn_before):
    seed_iteration(1, 0, 1, 5)
    for _ in range(drawn_before):
        batch_rand((2,))
    record, replay = replay_batch_rand()
    with record:
        first = [batch_rand((2,)), batch_rand((3,))]
    between = batch_rand((2,))
    with replay:
        again = [batch_rand((2,)), batch_rand((3,))]
    after = batch_rand((2,))
    seed_iteration(1, 0, 1, 5)
    plain = [batch_rand((size,)) for size in [2] * drawn_before + [2, 3, 2, 2]][drawn_before:]
    for found, expected in zip([*first, between, after], plain):
        assert torch.equal(found, expected)
    for found, expected in zip(again, first):
        assert torch.equal(found, expected)


def test_batch_randn_is_normal_and_deals_the_global_batch_out():
    seed_iteration(1, 0, 1, 5)
    whole = batch_randn((20000, 3))
    assert whole.mean().abs() < 0.02 and (whole.std() - 1).abs() < 0.02
    for rank in range(2):
        seed_iteration(1, rank, 2, 5)
        assert torch.equal(batch_randn((10000, 3)), whole[rank::2])


def test_numbers_of_a_row_depend_on_the_row_alone():
    rows = torch.arange(3000)
    whole = row_randn(rows, 4, seed=7)
    assert whole.shape == (3000, 4) and whole.mean().abs() < 0.05 and (whole.std() - 1).abs() < 0.05
    assert len(whole.unique()) > 11_990
    picked = torch.tensor([2999, 0, 1023, 1024, 0])
    before = torch.get_rng_state()
    seed_iteration(9, 1, 2, 3)
    assert torch.equal(row_randn(picked, 4, seed=7), whole[picked])
    torch.set_rng_state(before)
    assert not (row_randn(picked, 4, seed=8) == whole[picked]).any()
    assert row_randn(picked[:0], 4, seed=7).shape == (0, 4)
