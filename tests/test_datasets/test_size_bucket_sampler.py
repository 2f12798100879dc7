from collections import Counter
from itertools import islice

import numpy as np
import pytest

from motionlab.datasets.samplers import SizeBucketSampler, TrainSampler
from motionlab.utils import ConfigError


class Sized:
    """Samples whose latents have three sizes: 11, 5 and 1 of them, mixed."""

    latent_sizes = np.random.default_rng(0).permutation(np.array([[4, 4]] * 11 + [[4, 6]] * 5 + [[6, 4]]))

    def __len__(self):
        return len(self.latent_sizes)


DATA = Sized()


def sampler(batch=2, rank=0, world=1, endless=True, **options) -> SizeBucketSampler:
    made = SizeBucketSampler(DATA, **{'seed': 3, **options})
    made.rank, made.world_size = rank, world
    made.prepare(batch, drop_last=False, endless=endless)
    return made


def batches(made, number=None):
    indices = list(made if number is None else islice(made, number * made.batch_size))
    assert len(indices) % made.batch_size == 0
    return [indices[i:i + made.batch_size] for i in range(0, len(indices), made.batch_size)]


@pytest.mark.parametrize('endless', [True, False])
@pytest.mark.parametrize('world', [1, 2])
def test_a_global_batch_has_one_size(world, endless):
    ranks = [batches(sampler(rank=rank, world=world, endless=endless), 40 if endless else None)
             for rank in range(world)]
    for parts in zip(*ranks, strict=True):
        assert len({tuple(DATA.latent_sizes[index]) for part in parts for index in part}) == 1


def test_number_of_ranks_does_not_change_global_batches():
    alone = batches(sampler(batch=4), 30)
    pair = [batches(sampler(batch=2, rank=rank, world=2), 30) for rank in range(2)]
    for whole, first, second in zip(alone, *pair, strict=True):
        assert whole[0::2] == first and whole[1::2] == second


@pytest.mark.parametrize('batch', [2, 4, 40])
def test_endless_order_uses_all_samples_equally(batch):
    turns = 40
    seen = Counter(index for each in batches(sampler(batch=batch), turns * len(DATA) // batch - 2) for index in each)
    assert set(seen) == set(range(len(DATA)))
    assert turns - 3 - batch <= min(seen.values()) and max(seen.values()) <= turns + 1


@pytest.mark.parametrize('start', [1, 7, 8, 9, 25, 60])
def test_any_batch_is_found_without_those_before(start):
    whole = batches(sampler(), 70)
    later = sampler()
    later.start = start * 2
    assert batches(later, 70 - start) == whole[start:]
    assert later.start == 0 and isinstance(later, TrainSampler)


def test_epoch_holds_every_sample_and_fills_last_batches():
    made = sampler(batch=4, endless=False)
    epoch = batches(made)
    assert len(epoch) == 3 + 2 + 1 and len(made) == 4 * len(epoch)
    assert {index for each in epoch for index in each} == set(range(len(DATA)))
    made.set_epoch(1)
    assert batches(made) != epoch
    made.set_epoch(0)
    made.start = 8
    assert batches(made) == epoch[2:]


def test_evaluation_needs_the_batch_size():
    with pytest.raises(ConfigError, match='batch_size'):
        list(SizeBucketSampler(DATA, seed=0))
    with pytest.raises(ConfigError, match='batch_size'):
        len(SizeBucketSampler(DATA, seed=0))
    order = list(SizeBucketSampler(DATA, shuffle=False, seed=0, batch_size=1))
    assert sorted(order) == list(range(len(DATA)))
    with pytest.raises(ConfigError, match='found 3, expected 2'):
        sampler(batch_size=3)


def test_dataset_needs_sizes():
    with pytest.raises(ConfigError, match='latent_sizes'):
        SizeBucketSampler([1, 2], seed=0)
