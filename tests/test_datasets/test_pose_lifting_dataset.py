import pickle

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from motionlab.codecs.lifting_batch import check_lifting_batch
from motionlab.datasets.collate import batch_collate
from motionlab.datasets.pose_lifting_dataset import PoseLiftingDataset
from motionlab.registry import DATASETS
from motionlab.utils import ConfigError, DataError
from tests.synthetic import write_lifting_annotation

LENGTHS = [8, 5, 11]
ORDER = [2, 1, 0]  # Clips are sorted by name: jump, reach-out, walk.
FIRST_ROW = [0, 8, 13]


@pytest.fixture
def ann_file(tmp_path):
    return write_lifting_annotation(tmp_path / 'synth', frames=LENGTHS)


def _arrays(path):
    with np.load(path) as made:
        return {key: made[key] for key in made}


def _samples():
    """(clip position, file clip, frame) of every padded sample."""
    return [(position, clip, frame) for position, clip in enumerate(ORDER) for frame in range(LENGTHS[clip])]


@pytest.mark.parametrize(('seq_len', 'step', 'causal'), [(5, 1, False), (3, 2, False), (4, 1, True), (1, 1, False)])
def test_batch_holds_the_rows_of_the_file(ann_file, seq_len, step, causal):
    dataset = PoseLiftingDataset(ann_file, seq_len=seq_len, seq_step=step, causal=causal)
    made, samples = _arrays(ann_file), _samples()
    assert len(dataset) == len(samples) == sum(LENGTHS)
    indices = np.random.default_rng(0).permutation(len(samples))
    batch = dataset.__getitems__(indices.tolist())
    check_lifting_batch(batch)
    left = seq_len - 1 if causal else (seq_len - 1) // 2
    for place, index in enumerate(indices):
        position, clip, frame = samples[index]
        rows = [FIRST_ROW[clip] + min(max(frame + (j - left) * step, 0), LENGTHS[clip] - 1) for j in range(seq_len)]
        sample = {key: value[place].numpy() for key, value in batch.items()}
        np.testing.assert_array_equal(sample['keypoints_px'], made['predicted_keypoints'][rows])
        np.testing.assert_array_equal(sample['confidence'], made['predicted_keypoints_score'][rows])
        np.testing.assert_array_equal(sample['depth_m'], made['predicted_da_depth'][rows])
        np.testing.assert_array_equal(sample['target_m'], made['S'][[FIRST_ROW[clip] + frame]][..., :3])
        assert sample['keypoints_valid'].all()
        assert sample['target_visible'].all()
        assert sample['image_size_px'].tolist() == [1000, 1002 if clip % 2 else 1000]
        assert (sample['sample_index'], sample['clip_index'], sample['frame_index'].tolist()) == (index, position,
                                                                                                [frame])


def test_types_are_those_of_the_contract(ann_file):
    batch = PoseLiftingDataset(ann_file, seq_len=3).__getitems__([0, 1])
    floats = {'keypoints_px', 'confidence', 'depth_m', 'image_size_px', 'target_m'}
    bools = {'keypoints_valid', 'target_visible'}
    for key, value in batch.items():
        assert value.dtype == (torch.float32 if key in floats else torch.bool if key in bools else torch.int64), key
        assert value.is_contiguous(), key


def test_ground_truth_input(ann_file):
    dataset = PoseLiftingDataset(ann_file, seq_len=1, keypoints='ground_truth')
    made = _arrays(ann_file)
    batch = dataset.__getitems__([0, 3])
    rows = [FIRST_ROW[2], FIRST_ROW[2] + 3]
    np.testing.assert_array_equal(batch['keypoints_px'][:, 0], made['part'][rows][..., :2])
    np.testing.assert_array_equal(batch['depth_m'][:, 0], made['S'][rows][..., 2])
    assert (batch['confidence'] == 1).all()


def test_chunks_of_frames(ann_file):
    dataset = PoseLiftingDataset(ann_file, seq_len=1, multiple_target=4)
    assert len(dataset) == 11 // 4 + 5 // 4 + 8 // 4
    batch = dataset.__getitems__([1])
    check_lifting_batch(batch)
    assert batch['keypoints_px'].shape == (1, 4, 17, 2)
    assert batch['target_m'].shape == (1, 4, 17, 3)
    assert batch['frame_index'].tolist() == [[4, 5, 6, 7]]


def test_windows_stay_inside_gaps_and_neighbours_are_told_from_distant_frames(tmp_path):
    path = write_lifting_annotation(tmp_path, clips=1, frames=12)
    kept = {key: value[[0, 1, 2, 3, 8, 9, 10, 11]] for key, value in _arrays(path).items()}
    np.savez(path, **kept)
    batch = PoseLiftingDataset(path, seq_len=9).__getitems__(range(8))
    assert batch['frame_index'][:, 0].tolist() == [0, 1, 2, 3, 8, 9, 10, 11]
    np.testing.assert_array_equal(batch['keypoints_px'][3, -1], kept['predicted_keypoints'][3])
    np.testing.assert_array_equal(batch['keypoints_px'][4, 0], kept['predicted_keypoints'][4])


def test_bad_numbers_are_masked_in_the_batch(tmp_path):
    def at(index, value):
        def change(array):
            array[index] = value
            return array
        return change
    path = write_lifting_annotation(
        tmp_path, clips=1, frames=4, predicted_da_depth=at((0, [1, 2]), [-1, np.nan]),
        predicted_keypoints=at((1, 3, 0), np.nan), predicted_keypoints_score=at((2, 4), 1.5),
        predicted_valid=at((3, 5), False), S=lambda a: at((3, 6), [np.nan] * 3 + [0])(a))
    batch = PoseLiftingDataset(path, seq_len=1).__getitems__(range(4))
    assert batch['depth_m'][0, 0, [1, 2]].tolist() == [0, 0]
    assert batch['keypoints_valid'][0].all()
    assert not batch['keypoints_valid'][1, 0, 3]
    assert batch['keypoints_px'][1, 0, 3, 0] == 0
    assert batch['confidence'][1, 0, 3] == 0
    assert batch['confidence'][2, 0, 4] == 1
    assert not batch['keypoints_valid'][3, 0, 5]
    assert batch['confidence'][3, 0, 5] == 0
    assert not batch['target_visible'][3, 0, 6]
    assert all(value.isfinite().all() for value in batch.values())
    assert batch['keypoints_valid'].sum() == 4 * 17 - 2


def test_one_sample_is_a_row_of_a_batch(ann_file):
    dataset = PoseLiftingDataset(ann_file, seq_len=3)
    batch = dataset.__getitems__([4])
    for key, value in dataset[4].items():
        assert torch.equal(value, batch[key][0])
    assert dataset[-1]['sample_index'] == len(dataset) - 1
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_metainfo_names_clips_and_actions(ann_file):
    metainfo = PoseLiftingDataset('train.npz', data_root=ann_file.parent).metainfo
    assert metainfo == dict(
        dataset_name='synth', skeleton='h36m17', fps=30, clip_actions=['jump', 'reach-out', 'walk'],
        clip_names=['synth_jump_normal-002.cam2', 'synth_reach-out_normal-001.cam1', 'synth_walk_normal-000.cam0'])
    assert PoseLiftingDataset(ann_file, dataset_name='other').metainfo['dataset_name'] == 'other'


def test_options_that_contradict_are_refused(ann_file):
    with pytest.raises(ConfigError, match="keypoints='guessed'"):
        PoseLiftingDataset(ann_file, keypoints='guessed')
    with pytest.raises(ConfigError, match='no centre frame'):
        PoseLiftingDataset(ann_file, seq_len=4)


def test_no_sample_left_is_an_error_with_counts(ann_file):
    with pytest.raises(DataError, match=r'none: 24 of 24 frames in use, 3 runs, the longest of 11 frames.*seq_len=27'):
        PoseLiftingDataset(ann_file, pad=False)


def test_pickle_carries_no_numbers_and_maps_again(tmp_path):
    path = write_lifting_annotation(tmp_path, clips=2, frames=500)
    dataset = PoseLiftingDataset(path, seq_len=3)
    pickled = pickle.dumps(dataset)
    assert len(pickled) < path.stat().st_size / 20
    copy = pickle.loads(pickled)
    assert isinstance(copy.annotation.arrays['S'], np.memmap)
    for key, value in copy.__getitems__([0, 7]).items():
        assert torch.equal(value, dataset.__getitems__([0, 7])[key])


@pytest.mark.parametrize('context', ['fork', 'spawn'])
def test_workers_deliver_the_same_batches(ann_file, context):
    dataset = PoseLiftingDataset(ann_file, seq_len=3)
    loader = DataLoader(dataset, batch_size=10, num_workers=1, collate_fn=batch_collate,
                        multiprocessing_context=context)
    batches = list(loader)
    assert [len(batch['sample_index']) for batch in batches] == [10, 10, 4]
    whole = dataset.__getitems__(range(24))
    for key in whole:
        assert torch.equal(torch.cat([batch[key] for batch in batches]), whole[key])


def test_builds_from_a_config(ann_file):
    loader = Runner.build_dataloader(dict(
        dataset=dict(type='PoseLiftingDataset', ann_file=str(ann_file), seq_len=9), batch_size=7, num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False), collate_fn=dict(type='motionlab.batch_collate')))
    assert DATASETS.get('PoseLiftingDataset') is PoseLiftingDataset
    batch = next(iter(loader))
    check_lifting_batch(batch)
    assert batch['sample_index'].tolist() == list(range(7))
