import pickle
import tracemalloc

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from motionlab.codecs.motion_batch import check_motion_batch
from motionlab.datasets import motion_window_dataset
from motionlab.datasets.collate import batch_collate
from motionlab.datasets.motion_window_dataset import MotionWindowDataset
from motionlab.datasets.samplers import ResumableSampler
from motionlab.engine.config import load_config
from motionlab.registry import DATASETS
from motionlab.utils import ConfigError, DataError
from tests.conftest import REPO
from tests.motion_stores import write_motion_store

LENGTHS = (16, 40, 25, 12)


@pytest.fixture
def folder(tmp_path):
    write_motion_store(tmp_path / 'train.npz', LENGTHS)
    return tmp_path


def first_rows(batch):
    return batch['trans'][:, 0, 0].long().tolist()


def test_a_batch_is_windows_of_the_file(folder):
    data = DATASETS.build(dict(type='MotionWindowDataset', ann_file='train.npz', data_root=str(folder),
                               shape_noise=0.0))
    assert len(data) == 3 and data.redrawn_each_epoch
    assert data.metainfo == {'dataset_name': 'train', 'fps': 30.0, 'seq_len': 16, 'action_names': [],
                             'bodies': []}
    batch = data.__getitems__([2, 0, 1, 1])
    check_motion_batch(batch)
    assert {key: tuple(value.shape) for key, value in batch.items()} == {
        'trans': (4, 16, 3), 'root_orient': (4, 16, 3), 'pose_body': (4, 16, 63), 'betas': (4, 16),
        'sample_index': (4,)}
    assert batch['sample_index'].tolist() == [2, 0, 1, 1]
    arrays = np.load(folder / 'train.npz')
    for key in ('trans', 'root_orient', 'pose_body'):
        expected = np.stack([arrays[key][row:row + 16] for row in first_rows(batch)])
        np.testing.assert_array_equal(batch[key], expected)
    np.testing.assert_array_equal(batch['betas'], arrays['betas'][[2, 0, 1, 1]])
    one = data[1]
    assert all(torch.equal(one[key], batch[key][2]) for key in batch)


def test_all_starts_are_drawn_equally_often(folder):
    data = MotionWindowDataset('train.npz', folder)
    rounds = np.arange(4000)
    starts = np.array(first_rows(data.__getitems__(rounds * 3 + 1))) - 16
    counts = np.bincount(starts)
    assert len(counts) == 40 - 16 + 1 and counts.min() > 100 and counts.max() < 230
    assert set(first_rows(data.__getitems__(rounds[:50] * 3))) == {0}


def test_shape_noise_is_one_draw_for_a_sequence_and_epoch(folder):
    betas = torch.from_numpy(np.load(folder / 'train.npz')['betas'])
    rounds = np.arange(500)
    noise = MotionWindowDataset('train.npz', folder, shape_noise=0.5).__getitems__(rounds * 3 + 2)['betas'] - betas[2]
    assert abs(noise.std().item() - 0.5) < 0.02 and abs(noise.mean().item()) < 0.02
    assert len(noise.unique(dim=0)) == 500
    fixed = MotionWindowDataset('train.npz', folder, windows='all', window_stride=1, seq_len=12, shape_noise=0.5)
    batch = fixed.__getitems__(range(len(fixed)))
    assert len(batch['betas'].unique(dim=0)) == 4


def test_half_of_the_windows_play_backwards(folder):
    data = MotionWindowDataset('train.npz', folder, time_reversal=True)
    trans = data.__getitems__(np.arange(1000) * 3 + 1)['trans'][:, :, 0]
    steps = trans.diff(dim=1)
    backwards = (steps == -1).all(dim=1)
    assert ((steps == 1).all(dim=1) | backwards).all() and 420 < backwards.sum() < 580


def test_all_windows_are_always_the_same(folder):
    data = MotionWindowDataset('train.npz', folder, windows='all', window_stride=5)
    assert len(data) == 1 + 5 + 2 and not data.redrawn_each_epoch
    batch = data.__getitems__(range(len(data)))
    assert first_rows(batch) == [0, 16, 21, 26, 31, 36, 56, 61]
    assert batch['sample_index'].tolist() == list(range(8))
    with pytest.raises(IndexError, match='asked of 8 samples'):
        data[8]
    assert len(MotionWindowDataset('train.npz', folder, windows='all')) == 1 + 2 + 1


def test_what_is_drawn_depends_on_seed_epoch_and_sequence_only(folder):
    data = MotionWindowDataset('train.npz', folder, time_reversal=True)

    def epochs(world=1, workers=0, seed=3, batch_size=2):
        drawn = {}
        for rank in range(world):
            sampler = ResumableSampler(data, seed=seed)
            sampler.rank, sampler.world_size = rank, world
            loader = DataLoader(data, batch_size, sampler=sampler, collate_fn=batch_collate, num_workers=workers,
                                persistent_workers=workers > 0)
            for epoch in range(3):
                sampler.set_epoch(epoch)
                for batch in loader:
                    for place, index in enumerate(batch['sample_index'].tolist()):
                        row = tuple(batch['trans'][place, [0, -1], 0].tolist()), tuple(batch['betas'][place].tolist())
                        assert drawn.setdefault((epoch, index), row) == row
            loader._iterator = None
        return drawn

    once = epochs()
    assert once == epochs(world=2) == epochs(workers=2) == epochs(batch_size=3)
    assert len({row[1] for row in once.values()}) == 9
    other = epochs(seed=4)
    assert all(once[key][1] != other[key][1] for key in once)
    resumed = pickle.loads(pickle.dumps(data))
    sampler = ResumableSampler(resumed, seed=3)
    sampler.set_epoch(2)
    sampler.start = 1
    rest = resumed.__getitems__(list(sampler))
    assert [tuple(row.tolist()) for row in rest['betas']] == [once[2, index][1] for index in
                                                              rest['sample_index'].tolist()]


def test_actions(tmp_path):
    write_motion_store(tmp_path / 'train.npz', (20, 20, 10, 20), actions=(0, 2, 1, 1))
    data = MotionWindowDataset('train.npz', tmp_path)
    assert data.__getitems__([2, 0, 1])['action'].tolist() == [1, 0, 2]
    assert data.metainfo['action_names'] == ['a', 'b', 'c']


def test_the_file_stays_on_disk(tmp_path):
    write_motion_store(tmp_path / 'train.npz', [100] * 1000)  # 28 MB
    tracemalloc.start()
    data = MotionWindowDataset('train.npz', tmp_path)
    for number in range(3):
        data.__getitems__(np.arange(64) + number * len(data))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5e6
    per_frame = sum(array.itemsize * array.shape[1] for array in data.store.frames.values())
    assert 45 * 3600 * 30 * per_frame < 2e9  # AMASS


@pytest.mark.parametrize('name', ['motions', 'motions_mocap', 'motions_actions'])
def test_base_configs_hand_out_batches(name, tmp_path):
    actions = (0, 1) if name == 'motions_actions' else None
    for split in ('train', 'vald', 'test'):
        write_motion_store(tmp_path / f'{split}.npz', (20, 40), actions=actions)
    cfg = load_config(REPO / f'configs/_base_/datasets/{name}.py')
    for loader in (cfg.train_dataloader, cfg.val_dataloader, *cfg.test_dataloader):
        assert loader.dataset.data_root.startswith('data/primal') and loader.sampler.type == 'ResumableSampler'
        data = DATASETS.build(dict(loader.dataset, data_root=str(tmp_path)))
        check_motion_batch(data.__getitems__(range(len(data))))
        assert data.redrawn_each_epoch == (loader is cfg.train_dataloader)
        assert data.metainfo['dataset_name'] == loader.dataset.dataset_name == loader.dataset.ann_file[:-4]


@pytest.mark.parametrize(('options', 'message'), [
    (dict(seq_len=2), 'seq_len=2: expected at least 3 frames'), (dict(windows='some'), "windows='some'"),
    (dict(window_stride=4), 'no effect'), (dict(windows='all', window_stride=0), 'window_stride=0'),
    (dict(windows='all', time_reversal=True), 'time_reversal'), (dict(shape_noise=-1.0), 'shape_noise'),
    (dict(shape_noise=float('inf')), 'shape_noise')])
def test_wrong_options(options, message, folder):
    with pytest.raises(ConfigError, match=message):
        MotionWindowDataset('train.npz', folder, **options)


def test_no_sequence_is_long_enough_or_of_this_rate(folder):
    with pytest.raises(DataError, match='found 4, the longest of 40 frames, expected one of at least seq_len=41'):
        MotionWindowDataset('train.npz', folder, seq_len=41)
    assert len(MotionWindowDataset('train.npz', folder, seq_len=40)) == 1
    with pytest.raises(DataError, match=r'fps: found 30\.0, expected 60'):
        MotionWindowDataset('train.npz', folder, fps=60)


def test_says_what_is_left_out(folder, monkeypatch):
    said = []
    monkeypatch.setattr(motion_window_dataset, 'print_log', lambda text, *_: said.append(text))
    MotionWindowDataset('train.npz', folder)
    assert said == [f'{folder / "train.npz"}: 3 of 4 sequences, 0.00 h at 30 fps; 1 shorter than seq_len=16 left out']
