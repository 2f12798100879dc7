import numpy as np
import pytest
import torch

from motionlab.codecs.pose_prior_batch import check_pose_prior_batch
from motionlab.datasets import body_pose_dataset
from motionlab.datasets.amass import AmassPreparation, PoseSelection, prepare_amass
from motionlab.datasets.body_pose_dataset import BodyPoseDataset
from motionlab.registry import DATASETS
from motionlab.utils import ConfigError, DataError
from tests.amass_tree import write_amass_tree
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


def test_a_missing_file_is_named_and_how_to_make_it(tmp_path):
    with pytest.raises(DataError, match=r'nowhere\.npz.*python tools/dataset_converters/prepare_amass\.py AMASS_ROOT '
                                        f'{tmp_path} --splits'):
        BodyPoseDataset('nowhere.npz', tmp_path)


def test_prepares_what_it_needs_once(tmp_path, capsys):
    tree, prepared = write_amass_tree(tmp_path / 'amass'), tmp_path / 'prepared'
    settings = dict(amass_root=str(tree), splits='v02_05', selection=dict(keep_rate=0.5, seed=3))
    data = DATASETS.build(dict(type='BodyPoseDataset', ann_file='train.npz', data_root=str(prepared),
                               preparation=settings))
    assert f'prepared_dir: {prepared}' in capsys.readouterr().out
    again = prepare_amass(AmassPreparation(tree, prepared, 'v02_05', PoseSelection(0.5, 3)))
    assert again.reused and len(data) == again.manifest['outputs']['train.npz']['rows']
    capsys.readouterr()
    assert len(BodyPoseDataset('vald.npz', prepared, preparation=settings)) and not capsys.readouterr().out
    with pytest.raises(ConfigError, match=r'was prepared with other settings: keep_rate was 0\.5, is 0\.3'):
        BodyPoseDataset('train.npz', prepared, preparation=dict(amass_root=str(tree), splits='v02_05'))


@pytest.mark.parametrize(('settings', 'message'), [
    ({'splits': 'v02_05'}, 'expected amass_root'), ({'amass_root': 'a', 'overwrite': True}, 'overwrite'),
    ({'amass_root': 'a', 'prepared_dir': 'b'}, 'prepared_dir'),
    ({'amass_root': 'a', 'selection': {'fps': 30}}, r"selection: found \['fps'\], expected any of keep_rate, seed")])
def test_refuses_other_preparations(settings, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        BodyPoseDataset('train.npz', tmp_path, preparation=settings)


def test_other_processes_get_the_error_of_the_main_one(tmp_path, monkeypatch):
    def receive(outcome):
        outcome[0] = DataError('amass', 'poses: width', 72, 156)

    monkeypatch.setattr(body_pose_dataset, 'is_main_process', lambda: False)
    monkeypatch.setattr(body_pose_dataset, 'broadcast_object_list', receive)
    with pytest.raises(DataError, match='poses: width'):
        BodyPoseDataset('train.npz', tmp_path, preparation=dict(amass_root=str(tmp_path / 'amass')))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_a_broken_row_is_named_when_it_is_read(value, tmp_path):
    poses = random_poses(6)
    poses[4, 3] = value
    np.savez(tmp_path / 'train.npz', pose_body=poses)
    data = BodyPoseDataset('train.npz', tmp_path)
    assert len(data.__getitems__([0, 5])['pose_body']) == 2
    with pytest.raises(DataError, match=r'train\.npz: pose_body row 4: found NaN or infinity'):
        data.__getitems__([0, 4])
