from itertools import chain, islice

import pytest
from torch.utils.data import DataLoader

from motionlab.datasets.samplers import ResumableSampler
from motionlab.engine import loops
from motionlab.utils import ConfigError, DataError


def sampler(size: int = 23, rank: int = 0, world: int = 1, **options) -> ResumableSampler:
    made = ResumableSampler(range(size), **{'seed': 4, **options})
    made.rank, made.world_size = rank, world
    return made


def test_an_epoch_holds_every_sample_once_in_an_order_of_its_own():
    made = sampler()
    first = list(made)
    made.set_epoch(1)
    second = list(made)
    assert sorted(first) == sorted(second) == list(range(23))
    assert first != second != list(range(23))
    assert list(sampler()) == first
    assert list(sampler(seed=5)) != first
    assert list(sampler(shuffle=False)) == list(range(23))


@pytest.mark.parametrize('world', [2, 3, 5])
def test_ranks_share_the_global_batches_of_one_process(world):
    one = list(sampler(size=30))
    ranks = [list(sampler(size=30, rank=rank, world=world)) for rank in range(world)]
    dealt = [index for row in zip(*ranks) for index in row]
    assert dealt == one


@pytest.mark.parametrize(('size', 'world'), [(23, 2), (23, 4), (3, 8)])
def test_rounding_up_repeats_and_not_rounding_up_counts_once(size, world):
    padded = [list(sampler(size=size, rank=rank, world=world)) for rank in range(world)]
    assert len({len(part) for part in padded}) == 1
    assert {len(part) for part in padded} == {len(sampler(size=size, rank=0, world=world))}
    assert set(chain(*padded)) == set(range(size))
    exact = [sampler(size=size, rank=rank, world=world, round_up=False) for rank in range(world)]
    assert sorted(chain(*exact)) == list(range(size))
    assert [len(part) for part in exact] == [len(list(part)) for part in exact]


@pytest.mark.parametrize('world', [1, 2])
def test_start_leaves_out_the_first_samples_once(world):
    made = sampler(rank=world - 1, world=world)
    whole = list(made)
    made.start = 5
    assert list(made) == whole[5:]
    assert list(made) == whole


@pytest.mark.parametrize(('size', 'world'), [(23, 1), (23, 2), (23, 3), (3, 7)])
def test_endless_order_is_the_epochs_one_after_another_and_starts_anywhere(size, world):
    one = sampler(size=size)
    epochs = []
    for epoch in range(40):
        one.set_epoch(epoch)
        epochs += list(one)
    for rank in range(world):
        made = sampler(size=size, rank=rank, world=world)
        made.endless = True
        expected = epochs[rank::world][:60 // world]
        assert list(islice(made, len(expected))) == expected
        made.start = 13
        assert list(islice(made, 3)) == epochs[rank::world][13:16]


def test_works_with_batched_fetching_and_persistent_workers():
    class Data:
        def __len__(self):
            return 23

        def __getitems__(self, indices):
            return list(indices)

    made = sampler()
    loader = DataLoader(Data(), batch_size=4, sampler=made, collate_fn=list, num_workers=2, persistent_workers=True)
    whole = list(made)
    assert len(loader) == 6
    made.start = 8
    assert [index for batch in loader for index in batch] == whole[8:]
    assert [index for batch in loader for index in batch] == whole
    loader._iterator = None


def test_an_empty_dataset_is_an_error():
    with pytest.raises(DataError, match='found 0, expected at least one sample'):
        ResumableSampler([], seed=0)


@pytest.mark.parametrize('size', [31, 32, 33, 47])
def test_dropped_last_batches_do_not_depend_on_the_number_of_ranks(size, monkeypatch):
    epochs = {}
    for world in (1, 2, 4):
        monkeypatch.setattr(loops, 'get_world_size', lambda world=world: world)
        ranks = []
        for rank in range(world):
            made = sampler(size=size, rank=rank, world=world)
            loader = DataLoader(range(size), batch_size=16 // world, sampler=made, drop_last=True)
            ranks.append([batch.tolist() for _, batch in loops.TrainStream(loader, endless=False).batches(0, 0)])
            assert len(loader) == len(ranks[-1]) == size // 16
        epochs[world] = [sorted(chain(*parts)) for parts in zip(*ranks)]
    assert epochs[1] == epochs[2] == epochs[4]


@pytest.mark.parametrize(('size', 'world', 'dealt'), [(17, 1, 16), (17, 2, 16), (18, 1, 18), (16, 1, 16)])
def test_a_last_batch_too_small_is_left_out(size, world, dealt):
    ranks = [sampler(size=size, rank=rank, world=world, min_batch=2) for rank in range(world)]
    for made in ranks:
        made.prepare(batch_size=8 // world, drop_last=False, endless=False)
    assert sum(map(len, ranks)) == dealt
    index = [index for row in zip(*map(list, ranks)) for index in row]
    assert index == list(sampler(size=size))[:dealt]


@pytest.mark.parametrize(('size', 'batch_size', 'endless'), [(1, 8, False), (9, 1, False), (9, 1, True)])
def test_batches_that_are_all_too_small_are_refused(size, batch_size, endless):
    made = sampler(size=size, min_batch=2)
    with pytest.raises(ConfigError, match=f'{size} samples in batches of {batch_size} .* at most 1, .* min_batch=2'):
        made.prepare(batch_size, drop_last=False, endless=endless)
    shared = sampler(size=9, world=2, min_batch=2)  # Two processes normalise over one sample of each.
    shared.prepare(1, drop_last=False, endless=endless)
    assert len(shared) == (5 if endless else 4)


def test_endless_batches_are_never_too_small():
    made = sampler(size=17, min_batch=2)
    made.prepare(batch_size=8, drop_last=False, endless=True)
    assert made.cut_to == 17
    with pytest.raises(ConfigError, match=r'ResumableSampler\.min_batch: found 0'):
        sampler(min_batch=0)


def test_indices_of_data_that_is_redrawn_say_the_epoch():
    class Data:
        redrawn_each_epoch = True

        def __len__(self):
            return 23

    made, plain = ResumableSampler(Data(), seed=4), sampler()
    first = list(made)
    assert [index % 23 for index in first] == list(plain) and len({index // 23 for index in first}) == 1
    made.set_epoch(1)
    second = list(made)
    assert {index // 23 for index in second} != {index // 23 for index in first}
    made.endless = True
    assert list(islice(made, 46)) == first + second
    other = ResumableSampler(Data(), seed=5, shuffle=False)
    assert {index // 23 for index in other} != {index // 23 for index in first}
    assert max(first) < 2**62
