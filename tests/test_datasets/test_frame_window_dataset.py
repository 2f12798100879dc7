import pickle
import tracemalloc

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from motionlab.codecs.frame_batch import check_frame_batch
from motionlab.datasets import frame_window_dataset
from motionlab.datasets.collate import batch_collate
from motionlab.datasets.frame_window_dataset import FrameWindowDataset
from motionlab.datasets.samplers import ResumableSampler
from motionlab.registry import DATASETS
from motionlab.utils import ConfigError, DataError
from tests.frame_stores import write_frame_store


@pytest.fixture
def folder(tmp_path):
    write_frame_store(tmp_path / 'game', (7, 5, 3, 2), splits=('train', 'train', 'train', 'train'))
    return tmp_path


def first_pixels(frames):
    return frames[..., 0, 0, 0].tolist()


def test_a_batch_is_windows_of_the_store(folder):
    data = DATASETS.build(dict(type='FrameWindowDataset', ann_file='game', data_root=str(folder), num_history=2))
    assert len(data) == 5 + 3 + 1 and data.left_out == [3]
    assert data.metainfo == {'dataset_name': 'game_train', 'fps': 15.0, 'frame_size': (8, 8), 'num_history': 2,
                             'action_names': ['LEFT', 'RIGHT', 'UP', 'DOWN', 'NO_ACTION'], 'num_targets': 1,
                             'codec_hash': None}
    batch = data.__getitems__([8, 0, 4, 4])
    check_frame_batch(batch)
    assert {key: (tuple(value.shape), value.dtype) for key, value in batch.items()} == {
        'history': ((4, 2, 8, 8, 3), torch.uint8), 'target': ((4, 8, 8, 3), torch.uint8),
        'actions': ((4, 2), torch.int64), 'action_mask': ((4, 2), torch.bool), 'episode': ((4,), torch.int64),
        'index': ((4,), torch.int64), 'sample_index': ((4,), torch.int64)}
    assert batch['index'].tolist() == [14, 2, 6, 6] and batch['episode'].tolist() == [2, 0, 0, 0]
    assert first_pixels(batch['history']) == [[12, 13], [0, 1], [4, 5], [4, 5]]
    assert first_pixels(batch['target']) == [14, 2, 6, 6]
    assert batch['actions'].tolist() == data.store.actions[[[12, 13], [0, 1], [4, 5], [4, 5]]].tolist()
    assert batch['sample_index'].tolist() == [8, 0, 4, 4] and batch['action_mask'].all()
    one = data[4]
    assert all(torch.equal(one[key], batch[key][2]) for key in batch)
    for wrong in ([9], [-1]):
        with pytest.raises(IndexError, match='asked of 9 samples'):
            data.__getitems__(wrong)


def test_several_targets_go_on_with_their_actions(folder):
    data = FrameWindowDataset('game', folder, num_history=2, num_targets=3)
    assert len(data) == 3 + 1 and data.left_out == [2, 3]
    batch = data.__getitems__(range(4))
    check_frame_batch(batch)
    assert first_pixels(batch['target']) == [[2, 3, 4], [3, 4, 5], [4, 5, 6], [9, 10, 11]]
    assert batch['index'].tolist() == [2, 3, 4, 9] and tuple(batch['actions'].shape) == (4, 4)
    assert batch['actions'][3].tolist() == data.store.actions[7:11].tolist()
    single = FrameWindowDataset('game', folder, num_history=2).__getitems__([0, 1, 2, 5])
    assert torch.equal(single['target'], batch['target'][:, 0]) and torch.equal(single['history'], batch['history'])
    assert torch.equal(single['actions'], batch['actions'][:, :2])


def test_padding_stands_in_for_what_was_before(folder):
    data = FrameWindowDataset('game', folder, num_history=3, num_targets=2, pad=True)
    batch = data.__getitems__(range(len(data)))
    check_frame_batch(batch)
    assert len(data) == 5 + 3 + 1 and data.left_out == [3]
    assert first_pixels(batch['history'])[:3] == [[0, 0, 0], [0, 0, 1], [0, 1, 2]]
    assert batch['action_mask'][:3].tolist() == [[False, False, True, True], [False, True, True, True], [True] * 4]
    assert (batch['actions'][0, :2] == 4).all() and batch['actions'][0, 2] == data.store.actions[0]
    assert first_pixels(batch['target'])[0] == [1, 2]


def test_workers_map_the_same_file(folder):
    data = FrameWindowDataset('game', folder, num_history=2)
    loader = DataLoader(data, 4, sampler=ResumableSampler(data, seed=1), num_workers=1, collate_fn=batch_collate,
                        multiprocessing_context='fork')
    seen = {}
    for batch in loader:
        check_frame_batch(batch)
        seen |= dict(zip(batch['sample_index'].tolist(), first_pixels(batch['target'])))
    assert seen == dict(zip(range(9), first_pixels(data.__getitems__(range(9))['target'])))
    sent = pickle.dumps(data)  # To workers that are started anew only the path travels.
    assert len(sent) < 4000
    assert torch.equal(pickle.loads(sent)[5]['history'], data[5]['history'])


def test_frames_stay_on_disk(tmp_path):
    write_frame_store(tmp_path / 'game', (200, 200), size=(64, 64))
    tracemalloc.start()
    data = FrameWindowDataset('game', tmp_path, num_history=3)
    data.__getitems__(np.arange(0, 320, 20))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2e6 < data.store.frames.nbytes == 400 * 64 * 64 * 3


def test_episodes_that_are_too_short_are_counted_and_listed(folder, monkeypatch):
    lines = []
    monkeypatch.setattr(frame_window_dataset, 'print_log', lambda line, *_: lines.append(line))
    FrameWindowDataset('game', folder, num_history=4)
    told = '\n'.join(lines)
    assert 'game: split train: 4 windows in 2 of 4 episodes' in told
    assert '2 episodes shorter than 5 frames left out: 2, 3' in told
    with pytest.raises(ConfigError, match='none of its 4 episodes has 8 frames'):
        FrameWindowDataset('game', folder, num_history=7)


@pytest.mark.parametrize(('options', 'message'), [
    (dict(num_history=0), 'num_history=0'), (dict(num_targets=0), 'num_targets=0'),
    (dict(frames=False), 'leave nothing to read'), (dict(split='test'), 'splits'), (dict(latents='only'), 'latents'),
    (dict(latents='abc'), 'latents: found none, expected latents of the codec abc')])
def test_options_are_checked(options, message, folder):
    with pytest.raises((ConfigError, DataError), match=message):
        FrameWindowDataset('game', folder, **options)


def test_another_folder_is_named(tmp_path):
    with pytest.raises(DataError, match='nothing at this path'):
        FrameWindowDataset('absent', tmp_path)
