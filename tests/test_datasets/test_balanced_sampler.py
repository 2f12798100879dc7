from collections import Counter
from itertools import islice

import pytest
from torch.utils.data import DataLoader

from motionlab.datasets.samplers import BalancedSampler, TrainSampler
from motionlab.datasets.samplers.balanced_sampler import source_counts
from motionlab.utils import ConfigError


class Sources:
    """Two sources or more, samples numbered through."""

    def __init__(self, *sizes: int):
        self.sizes = list(sizes)
        self.names = [f's{i}' for i in range(len(sizes))]

    def __len__(self):
        return sum(self.sizes)

    def __getitem__(self, index):
        return index

    def source_of(self, index: int) -> int:
        return next(s for s in range(len(self.sizes)) if index < sum(self.sizes[:s + 1]))


DATA = Sources(23, 9, 40)


def sampler(batch: int = 8, ratios=(2, 1, 1), rank: int = 0, world: int = 1, data=DATA, endless: bool = False,
            **options) -> BalancedSampler:
    made = BalancedSampler(data, ratios, **{'seed': 4, **options})
    made.rank, made.world_size = rank, world
    made.prepare(batch, drop_last=False, endless=endless)
    return made


def batches(made: BalancedSampler, number: int | None = None) -> list[list[int]]:
    """The batches that the stock batch sampler makes of one iteration."""
    indices = list(made if number is None else islice(made, number * made.batch_size))
    assert len(indices) % made.batch_size == 0
    return [indices[i:i + made.batch_size] for i in range(0, len(indices), made.batch_size)]


def counts_in(batch: list[int], data=DATA) -> list[int]:
    found = Counter(data.source_of(index) for index in batch)
    return [found[s] for s in range(len(data.sizes))]


@pytest.mark.parametrize(('batch', 'ratios', 'expected'), [
    (8, (2, 1, 1), [4, 2, 2]), (10, (1, 1, 1), [4, 3, 3]), (256, (1, 1), [128, 128]), (100, (0.71, 0.29), [71, 29]),
    (7, (1, 5), [2, 5]), (10, (0.1, 0.2), [4, 6])])
def test_counts(batch, ratios, expected):
    assert source_counts(batch, ratios) == expected


@pytest.mark.parametrize('world', [1, 2, 3])
def test_every_batch_of_every_rank_has_the_exact_counts(world):
    for rank in range(world):
        made = sampler(batch=10, rank=rank, world=world)
        found = batches(made)
        assert len(found) == made.batches_per_epoch == -(-72 // world // 10)
        assert all(counts_in(batch) == [6, 2, 2] for batch in found)


@pytest.mark.parametrize('world', [1, 2, 3])
def test_sources_are_used_up_before_they_repeat_whatever_the_others_do(world):
    ranks = [batches(sampler(rank=rank, world=world, endless=True), 60) for rank in range(world)]
    for source, size in enumerate(DATA.sizes):
        own = [[i for i in batch if DATA.source_of(i) == source] for rank in ranks for batch in rank]
        each = len(own[0])
        streams = [[i for batch in rank for i in batch if DATA.source_of(i) == source] for rank in ranks]
        dealt = [index for row in zip(*streams) for index in row]  # Ranks take turns.
        passes = [dealt[i:i + size] for i in range(0, len(dealt) - size + 1, size)]
        assert len(passes) == 60 * each * world // size > 1
        first = sum(DATA.sizes[:source])
        assert all(sorted(each) == list(range(first, first + size)) for each in passes)
        assert passes[0] != passes[1]


def test_ranks_are_disjoint_within_a_pass():
    data = Sources(64, 64)
    parts = [list(sampler(batch=4, ratios=(1, 1), rank=rank, world=4, data=data)) for rank in range(4)]
    assert sorted(index for part in parts for index in part) == list(range(128))


@pytest.mark.parametrize('world', [2, 4])
def test_ranks_share_the_global_batches_of_one_process_row_by_row(world):
    one = batches(sampler(batch=16, endless=True), 30)
    ranks = [batches(sampler(batch=16 // world, rank=rank, world=world, endless=True), 30) for rank in range(world)]
    for number, batch in enumerate(one):
        assert [batch[rank::world] for rank in range(world)] == [rank[number] for rank in ranks]


def test_the_order_follows_from_seed_and_epoch():
    made = sampler()
    first = list(made)
    assert list(made) == first == list(sampler())
    made.set_epoch(3)
    later = list(made)
    made.set_epoch(0)
    assert list(made) == first != later
    assert list(sampler(seed=5)) != first
    in_order = batches(sampler(shuffle=False))
    assert in_order[:2] == [[0, 1, 2, 3, 23, 24, 32, 33], [4, 5, 6, 7, 25, 26, 34, 35]]
    assert in_order[4][4:6] == [31, 23]  # Used up, and again from its beginning.


@pytest.mark.parametrize('world', [1, 3])
def test_epochs_one_after_another_are_the_endless_stream(world):
    made, expected = sampler(rank=world - 1, world=world), []
    for epoch in range(4):
        made.set_epoch(epoch)
        expected += batches(made)
    assert batches(sampler(rank=world - 1, world=world, endless=True), len(expected)) == expected


@pytest.mark.parametrize('endless', [False, True])
@pytest.mark.parametrize('first', [0, 1, 5])
def test_starts_at_any_batch_without_reading(endless, first):
    made = sampler(rank=1, world=2, endless=endless, batches_per_epoch=9)
    made.set_epoch(2)
    whole = batches(made, 9)
    made.start = first * made.batch_size
    assert batches(made, 9 - first) == whole[first:]
    assert batches(made, 9) == whole  # The start counts once.
    made.start = 3
    with pytest.raises(ValueError, match='multiple of 8'):
        next(iter(made))


def test_epoch_length_can_be_chosen():
    made = sampler(batches_per_epoch=2)
    assert (len(made), made.batches_per_epoch, len(list(made))) == (16, 2, 16)


def test_works_with_the_stock_dataloader_and_workers():
    made = sampler()
    expected = batches(made)
    loader = DataLoader(DATA, batch_size=8, sampler=made, collate_fn=list, num_workers=2, persistent_workers=True)
    assert len(loader) == len(expected) == 9
    made.start = 16
    assert list(loader) == expected[2:]
    assert list(loader) == expected
    assert isinstance(made, TrainSampler)
    loader._iterator = None


@pytest.mark.parametrize(('make', 'message'), [
    (lambda: sampler(batch=3), r's1 would get none of the 3 samples of a batch .* give \[3, 0, 0\]'),
    (lambda: sampler(ratios=(1, 1)), 'expected 3 numbers above 0'),
    (lambda: sampler(ratios=(1, 1, 0)), 'expected 3 numbers above 0'),
    (lambda: sampler(batches_per_epoch=0), 'batches_per_epoch: found 0'),
    (lambda: BalancedSampler(range(5), [1]), 'found a range, expected a CombinedDataset'),
    (lambda: len(BalancedSampler(DATA, [1, 1, 1], seed=0)), 'found no batch size'),
])
def test_what_cannot_work(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
