import pickle

import numpy as np
import pytest
import torch

from motionlab.datasets.combined_dataset import CombinedDataset
from motionlab.registry import DATASETS
from motionlab.utils import ConfigError, DataError
from tests.synthetic import write_lifting_annotation


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp('combined')
    write_lifting_annotation(folder / 'a', clips=2, frames=12)
    write_lifting_annotation(folder / 'b', clips=3, frames=7, seed=1)
    return folder


def source(files, name: str, **options) -> dict:
    return dict(type='PoseLiftingDataset', data_root=str(files), ann_file=f'{name}/train.npz',
                **{'seq_len': 5, 'dataset_name': name, **options})


class Rows:
    """A source without clips that counts how often it is read."""

    def __init__(self, size: int, name: str, width: int = 1, **more):
        self.size, self.width, self.fetches = size, width, 0
        self.metainfo = dict(dataset_name=name, **more)

    def __len__(self):
        return self.size

    def __getitems__(self, indices):
        self.fetches += 1
        return {'x': torch.tensor(indices)[:, None].float().repeat(1, self.width),
                'sample_index': torch.tensor(indices)}


def test_samples_are_those_of_the_sources_in_the_order_asked_for(files):
    parts = [DATASETS.build(source(files, name)) for name in 'ab']
    both = CombinedDataset([source(files, name) for name in 'ab'])
    assert len(both) == 24 + 21
    order = [30, 2, 44, 0, 24, 23, -1]
    batch = both.__getitems__(order)
    for row, index in enumerate(np.mod(order, 45)):
        which, local = (0, index) if index < 24 else (1, index - 24)
        expected = parts[which][int(local)]
        assert set(batch) == set(expected)
        for key in set(expected) - {'sample_index', 'clip_index'}:
            assert torch.equal(batch[key][row], expected[key]), key
        assert batch['sample_index'][row] == index
        assert batch['clip_index'][row] == expected['clip_index'] + 2 * which
    assert all(torch.equal(both[44][key], batch[key][2]) for key in batch)


def test_metainfo_keeps_clips_apart(files):
    meta = CombinedDataset([source(files, name) for name in 'ab']).metainfo
    assert meta['dataset_name'] == 'a+b'
    assert meta['sources'] == [dict(name='a', size=24), dict(name='b', size=21)]
    shared = ['synth_walk_normal-000.cam0', 'synth_reach-out_normal-001.cam1']
    third = [name for name in meta['clip_names'] if '/' not in name]
    assert sorted(meta['clip_names']) == sorted([f'{s}/{name}' for s in 'ab' for name in shared] + third)
    assert len(third) == 1
    assert len(meta['clip_actions']) == 5
    assert (meta['fps'], meta['skeleton']) == (30.0, 'h36m17')
    assert CombinedDataset([source(files, 'a')], dataset_name='joint').metainfo['dataset_name'] == 'joint'


def test_fps_is_left_out_where_sources_differ():
    meta = CombinedDataset([Rows(2, 'a', fps=25.0), Rows(3, 'b', fps=30.0)]).metainfo
    assert 'fps' not in meta and 'clip_names' not in meta


def test_every_source_is_read_once_a_batch():
    parts = [Rows(4, 'a'), Rows(5, 'b'), Rows(6, 'c')]
    both = CombinedDataset(parts)
    batch = both.__getitems__([14, 3, 9, 0, 13])
    assert [part.fetches for part in parts] == [1, 0, 1]
    assert batch['x'].flatten().tolist() == [5, 3, 0, 0, 4]
    assert batch['sample_index'].tolist() == [14, 3, 9, 0, 13]


def test_travels_to_workers(files):
    both = CombinedDataset([source(files, name) for name in 'ab'])
    there = pickle.loads(pickle.dumps(both)).__getitems__([40, 1])
    assert all(torch.equal(value, there[key]) for key, value in both.__getitems__([40, 1]).items())


def test_out_of_range():
    with pytest.raises(IndexError, match='9 samples'):
        CombinedDataset([Rows(4, 'a'), Rows(5, 'b')]).__getitems__([9])


def test_keys_and_shapes_must_agree(files):
    class More(Rows):
        def __getitems__(self, indices):
            return {**super().__getitems__(indices), 'depth': torch.zeros(len(indices))}

    with pytest.raises(DataError, match=r'a: key depth.*which b has') as error:
        CombinedDataset([Rows(2, 'a'), More(2, 'b')]).__getitems__([0, 3])
    assert error.value.field == 'key depth'
    with pytest.raises(DataError, match=r'b: key x.*\(3,\).*\(1,\).*as in a'):
        CombinedDataset([Rows(2, 'a'), Rows(2, 'b', width=3)]).__getitems__([0, 3])
    with pytest.raises(DataError, match='seq_len'):
        CombinedDataset([source(files, 'a'), source(files, 'b', seq_len=7)]).__getitems__([0, 30])


@pytest.mark.parametrize(('parts', 'kind', 'message'), [
    ([], ConfigError, 'found none'),
    ([Rows(2, 'a'), Rows(2, 'a')], ConfigError, r"named \['a', 'a'\]"),
    ([Rows(2, '')], ConfigError, 'set dataset_name'),
    ([Rows(2, 'a'), Rows(0, 'b')], DataError, 'b: length: found 0'),
    ([Rows(2, 'a', skeleton='h36m17'), Rows(2, 'b', skeleton='coco17')], DataError, 'one skeleton'),
])
def test_what_cannot_be_combined(parts, kind, message):
    with pytest.raises(kind, match=message):
        CombinedDataset(parts)


def test_data_that_is_redrawn_each_epoch_cannot_be_combined():
    rows = Rows(3, 'a')
    rows.redrawn_each_epoch = True
    with pytest.raises(ConfigError, match='a draws its samples anew each epoch'):
        CombinedDataset([rows, Rows(3, 'b')])
