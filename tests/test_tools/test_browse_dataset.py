"""Pictures show what the dataset, or the network, really gets."""

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from motionlab.codecs.image_pose_lifting import ImagePoseLifting
from motionlab.datasets.pose_lifting_dataset import PoseLiftingDataset
from motionlab.utils import ConfigError
from tests.synthetic import write_lifting_annotation
from tests.test_tools import load_tool

tool = load_tool('misc/browse_dataset.py')
FLIP = [0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 10, 14, 15, 16, 11, 12, 13]


def _write_config(folder, ann_file, model="dict(codec=dict(type='ImagePoseLifting', num_input_channels=4))"):
    loader = f"dict(batch_size=2, dataset=dict(type='PoseLiftingDataset', ann_file='{ann_file}', seq_len=5, " \
             "dataset_name='{name}'))"
    path = folder / 'browse.py'
    path.write_text(f"default_scope = 'motionlab'\nmodel = {model}\n"
                    f"train_dataloader = {loader.format(name='one')}\n"
                    f"test_dataloader = [{loader.format(name='two')}, {loader.format(name='three')}]\n")
    return path


def _hole(array):
    array[:, 3] = 0
    return array


@pytest.fixture
def ann_file(tmp_path):
    return write_lifting_annotation(tmp_path / 'data', clips=2, frames=6, predicted_da_depth=_hole)


def test_pictures_of_every_dataset_of_a_phase(tmp_path, ann_file, capsys):
    config = _write_config(tmp_path, ann_file)
    tool.main([str(config), '--not-show', '--output-dir', str(tmp_path / 'out'), '--phase', 'test', '--mode',
               'original', '--max-item-per-dataset', '2'])
    pictures = sorted((tmp_path / 'out').rglob('*.png'))
    assert [f'{path.parent.name}/{path.stem}' for path in pictures] == [
        'three/0000000_synth_reach-out_normal-001.cam1_000000', 'three/0000011_synth_walk_normal-000.cam0_000005',
        'two/0000000_synth_reach-out_normal-001.cam1_000000', 'two/0000011_synth_walk_normal-000.cam0_000005']
    assert np.ptp(imread(pictures[0])[..., :3]) > 0.5, 'not blank'
    assert '4 pictures' in capsys.readouterr().out


def test_original_samples_are_those_of_the_file(ann_file):
    dataset = PoseLiftingDataset(ann_file, seq_len=5)
    sample, = tool.read_samples(dataset, [1], None, flip_prob=1.0)
    batch = dataset.__getitems__([1])
    np.testing.assert_array_equal(sample.points_px, batch['keypoints_px'][0, 2])
    np.testing.assert_array_equal(sample.target_m, batch['target_m'][0, 0])
    assert np.flatnonzero(np.isnan(sample.depth)).tolist() == [3]
    assert sample.title == 'synth_reach-out_normal-001.cam1, frame 1'


@pytest.mark.parametrize('options', [{}, dict(remove_root=True), dict(preset='tcn')])
def test_transformed_samples_are_scaled_back_and_mirrored(ann_file, options):
    dataset = PoseLiftingDataset(ann_file, seq_len=5)
    codec = ImagePoseLifting(num_input_channels=4, **options)
    plain, = tool.read_samples(dataset, [1], codec, flip_prob=0.0)
    mirror, = tool.read_samples(dataset, [1], codec, flip_prob=1.0)
    batch = dataset.__getitems__([1])
    np.testing.assert_allclose(plain.points_px, batch['keypoints_px'][0, 2], atol=1e-2)
    known = np.delete(np.arange(17), 3)
    np.testing.assert_allclose(plain.confidence[known], batch['confidence'][0, 2][known], atol=1e-5)
    root_relative = batch['target_m'][0, 0] - batch['target_m'][0, 0, :1]
    np.testing.assert_allclose(plain.target_m, root_relative, atol=1e-5)
    np.testing.assert_allclose(mirror.points_px[:, 0], 1000 - plain.points_px[FLIP, 0], atol=1e-2)
    np.testing.assert_allclose(mirror.target_m[:, 0], -plain.target_m[FLIP, 0], atol=1e-5)
    assert np.flatnonzero(np.isnan(mirror.depth)).tolist() == [6]
    assert 'mirrored' in mirror.title


def test_train_phase_mirrors_as_the_model_does_and_test_phase_never(tmp_path, ann_file, monkeypatch):
    config = _write_config(tmp_path, ann_file, "dict(type='PoseLifter', flip_prob=0.5, codec=dict("
                                               "type='ImagePoseLifting'), backbone=dict(type='TCN', in_channels=2), "
                                               "head=dict(type='RegressionHead'))")
    seen = []
    monkeypatch.setattr(tool, 'draw', lambda sample: seen.append(sample.title) or np.zeros((4, 4, 3), np.uint8))
    for phase in ('train', 'test'):
        cfg = tool.load_config(config)
        tool.browse(cfg, phase, 'transformed', tmp_path / phase, 12, None)
        mirrored = sum('mirrored' in title for title in seen)
        assert 0 < mirrored < 12 if phase == 'train' else mirrored == 0
        seen.clear()


def test_what_is_missing_is_named(tmp_path, ann_file):
    cfg = tool.load_config(_write_config(tmp_path, ann_file))
    with pytest.raises(ConfigError, match='val_dataloader is not set'):
        tool.browse(cfg, 'val', 'original', tmp_path, 1, None)
    del cfg['model']['codec']
    with pytest.raises(ConfigError, match=r'model\.codec is not set'):
        tool.browse(cfg, 'train', 'transformed', tmp_path, 1, None)


def test_a_frame_without_any_joint_can_be_drawn(ann_file):
    sample, = tool.read_samples(PoseLiftingDataset(ann_file, seq_len=5), [0], None, flip_prob=0.0)
    nothing = tool.Sample(sample.points_px, sample.confidence, sample.depth * torch.nan, np.zeros(17, bool),
                          sample.image_size, sample.target_m * np.nan, 'empty', 'empty')
    picture = tool.draw(nothing)
    assert picture.dtype == np.uint8
    assert picture.shape[-1] == 3
