import numpy as np
import pytest
import torch

from motionlab.codecs.pose_prior_batch import check_pose_prior_batch
from motionlab.datasets.body_pose_dataset import BodyPoseDataset
from motionlab.registry import DATASETS
from motionlab.utils import DataError
from tests.pose_priors import random_poses, write_pose_splits


def test_hands_out_rows_and_where_they_stand(tmp_path):
    write_pose_splits(tmp_path)
    data = DATASETS.build(dict(type='BodyPoseDataset', data_root=str(tmp_path), ann_file='test.npz'))
    assert len(data) == 10 and data.metainfo == {'dataset_name': 'test'}
    batch = data.__getitems__([7, 2, 2])
    check_pose_prior_batch(batch)
    assert batch['sample_index'].tolist() == [7, 2, 2]
    np.testing.assert_array_equal(batch['pose_body'], random_poses(10, seed=2)[[7, 2, 2]])
    assert torch.equal(data[7]['pose_body'], batch['pose_body'][0]) and data[7]['sample_index'] == 7
    assert BodyPoseDataset('test.npz', tmp_path, 'mine').metainfo == {'dataset_name': 'mine'}


def test_the_file_is_mapped_not_read(tmp_path):
    write_pose_splits(tmp_path)
    poses = BodyPoseDataset('train.npz', tmp_path).poses
    while not isinstance(poses, np.memmap) and poses.base is not None:
        poses = poses.base
    assert isinstance(poses, np.memmap)


@pytest.mark.parametrize(('arrays', 'message'), [
    ({'poses': np.zeros((4, 63), np.float32)}, 'key pose_body: found only'),
    ({'pose_body': np.zeros((4, 69), np.float32)}, r'pose_body: found float32 of shape \(4, 69\)'),
    ({'pose_body': np.zeros((4, 21, 3), np.float32)}, r'pose_body: found float32 of shape \(4, 21, 3\)'),
    ({'pose_body': np.zeros((4, 63))}, 'pose_body: found float64'),
    ({'pose_body': np.zeros((0, 63), np.float32)}, 'pose_body: found no pose'),
])
def test_files_of_another_kind(arrays, message, tmp_path):
    np.savez(tmp_path / 'train.npz', **arrays)
    with pytest.raises(DataError, match=message) as raised:
        BodyPoseDataset('train.npz', tmp_path)
    assert 'train.npz' in str(raised.value) and 'prepare_amass.py' in str(raised.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r'nowhere\.npz'):
        BodyPoseDataset('nowhere.npz', tmp_path)


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_a_broken_row_is_named_when_it_is_read(value, tmp_path):
    poses = random_poses(6)
    poses[4, 3] = value
    np.savez(tmp_path / 'train.npz', pose_body=poses)
    data = BodyPoseDataset('train.npz', tmp_path)
    assert len(data.__getitems__([0, 5])['pose_body']) == 2
    with pytest.raises(DataError, match=r'train\.npz: pose_body row 4: found NaN or infinity'):
        data.__getitems__([0, 4])
