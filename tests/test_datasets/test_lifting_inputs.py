"""Which arrays become inputs: depth ranges by both rules, feature maps, files without depth."""

import pickle

import numpy as np
import pytest
import torch

from motionlab.codecs import ImagePoseLifting
from motionlab.codecs.lifting_batch import check_lifting_batch
from motionlab.datasets.lifting_annotation import load_lifting_annotation
from motionlab.datasets.lifting_inputs import LiftingInputs
from motionlab.datasets.pose_lifting_dataset import PoseLiftingDataset
from motionlab.utils import ConfigError, DataError
from tests.synthetic import write_lifting_annotation

WIDTHS = {'rtm_joint_feats': 1024, 'dav2_joint_feats': 256}
SMALL = {'rtm_joint_feats': 6, 'dav2_joint_feats': 4}


def _write(folder, **kwargs):
    """One clip, so that sample i of a single-frame dataset is row i of the file."""
    return write_lifting_annotation(folder, **{'clips': 1, 'frames': 12, 'ranges': True, **kwargs})


def _at(index, value):
    def change(array):
        array[index] = value
        return array
    return change


def _all(path, **kwargs):
    dataset = PoseLiftingDataset(path, seq_len=1, **kwargs)
    batch = dataset.__getitems__(range(len(dataset)))
    check_lifting_batch(batch)
    return dataset, {key: value[:, 0].numpy() if value.ndim > 1 and key != 'image_size_px' else value.numpy()
                     for key, value in batch.items()}


@pytest.mark.parametrize('depth_stats', ['range', 'spatial'])
@pytest.mark.parametrize('width_1', [False, True])
def test_paper_rule(tmp_path, depth_stats, width_1):
    shape = {key: (lambda a: a[..., None]) for key in ('predicted_depth_min', 'predicted_depth_max')} if width_1 else {}
    path = _write(tmp_path, **shape)
    dataset, batch = _all(path, depth_stats=depth_stats)
    made = np.load(path)
    np.testing.assert_array_equal(batch['depth_m'], made['predicted_da_depth'])
    for name in ('min', 'max'):
        np.testing.assert_array_equal(batch[f'depth_{name}_m'], made[f'predicted_depth_{name}'].reshape(12, 17))
        if depth_stats == 'spatial':
            np.testing.assert_array_equal(batch[f'depth_{name}_px'], made[f'predicted_depth_{name}_px'])
    assert ('depth_min_px' in batch) == (depth_stats == 'spatial')
    assert not dataset.annotation.counts


def test_casp_rule(tmp_path):
    path = _write(tmp_path, predicted_da_depth=None, summary_casp_descriptor_10d=lambda a: a.astype('f2'))
    _, batch = _all(path, depth_stats='spatial', depth_rule='casp')
    made = np.load(path)
    for key, columns in (('depth_m', 9), ('depth_min_m', 4), ('depth_max_m', 8)):
        np.testing.assert_array_equal(batch[key], made['summary_casp_descriptor_10d'][..., columns].astype('f4'))
    for key, first in (('depth_min_px', 1), ('depth_max_px', 13)):
        np.testing.assert_array_equal(batch[key], made['casp_descriptors'][..., first:first + 2])
    assert {value.dtype for key, value in batch.items() if key.startswith('depth')} == {np.dtype('f4')}


def test_true_points_bring_their_own_ranges(tmp_path):
    path = write_lifting_annotation(tmp_path, clips=1, frames=12)           # no detected ranges needed
    _, batch = _all(path, depth_stats='spatial', keypoints='ground_truth')
    made = np.load(path)
    for key in ('depth_m', 'depth_min_m', 'depth_max_m'):
        np.testing.assert_array_equal(batch[key], made['S'][..., 2])
    for key in ('keypoints_px', 'depth_min_px', 'depth_max_px'):
        np.testing.assert_array_equal(batch[key], made['part'][..., :2])


@pytest.mark.parametrize('bad', [0, -1, np.nan, np.inf])
def test_unknown_ranges_are_masked_with_a_count(tmp_path, bad):
    path = _write(tmp_path, predicted_depth_min=_at((3, [1, 5]), bad), predicted_depth_max_px=_at((4, 2, 1), np.nan))
    dataset, batch = _all(path, depth_stats='spatial')
    assert dataset.annotation.counts == {
        'predicted_depth_min: zero, negative or not finite, masked': 2,
        'predicted_depth_max_px: not finite, masked': 1}
    assert (batch['depth_min_m'][3, [1, 5]] == 0).all()
    assert batch['depth_max_m'][4, 2] == 0
    assert (batch['depth_max_px'][4, 2] == 0).all()
    assert (batch['depth_min_m'] == 0).sum() == 2
    assert batch['keypoints_valid'].all()
    assert (batch['depth_m'] > 0).all()


@pytest.mark.parametrize(('options', 'dropped', 'message'), [
    (dict(depth_stats='range'), ['predicted_depth_min', 'predicted_depth_max'],
     r"key predicted_depth_min, predicted_depth_max: .*asked for by depth_stats='range'.*depth_rule='casp' reads"),
    (dict(depth_stats='spatial'), ['predicted_depth_min_px', 'casp_descriptors'],
     r"key predicted_depth_min_px: .*depth_stats='spatial', depth_rule='paper'. depth_stats=None reads depth alone"),
    (dict(depth_rule='casp'), ['summary_casp_descriptor_10d'],
     r"key summary_casp_descriptor_10d: .*depth_rule='casp'. depth_rule='paper' reads what is there"),
    ({}, ['predicted_da_depth'], r'key predicted_da_depth: .*with_depth=True.*with_depth=False reads no depth'),
    (dict(features=('image', 'depth')), [], r'key rtm_joint_feats, dav2_joint_feats: .*features='),
    ({}, ['predicted_keypoints'], r"key predicted_keypoints: .*keypoints='detected'. keypoints='ground_truth' needs"),
])
def test_missing_keys_name_the_option_and_what_else_there_is(tmp_path, options, dropped, message):
    path = _write(tmp_path, **dict.fromkeys(dropped))
    with pytest.raises(DataError, match=message) as error:
        PoseLiftingDataset(path, **options)
    assert 'train.npz' in str(error.value)
    assert 'imgname' in str(error.value), 'says what is there'


@pytest.mark.parametrize(('options', 'change', 'message'), [
    (dict(depth_stats='range'), dict(predicted_depth_min=lambda a: a + 9),
     r'predicted_depth_min\[0\]\[0\] \(root\): found a nearest depth beyond the farthest'),
    (dict(depth_stats='range'), dict(predicted_depth_max=lambda a: 1000 * a), r'predicted_depth_max\[0\].*over true'),
    (dict(depth_stats='spatial'), dict(predicted_depth_min_px=lambda a: a[..., :1]),
     r'key predicted_depth_min_px: found shape \(12, 17, 1\), expected shape \(12, 17, 2\)'),
    (dict(depth_stats='range'), dict(predicted_depth_max=lambda a: a[:-1]),
     r'key predicted_depth_max: found shape \(11, 17\), expected shape \(12, 17\).*first row without a partner is 11'),
    (dict(depth_rule='casp'), dict(summary_casp_descriptor_10d=lambda a: a[..., :6]), r'\(12, 17, 10\)'),
    (dict(features=('image',)), dict(rtm_joint_feats=_at((5, 3, 2), np.nan)),
     r'rtm_joint_feats\[5\]\[3\] \(right_foot\): found a number that is not finite'),
])
def test_malformed_inputs_are_named(tmp_path, options, change, message):
    path = _write(tmp_path, features=WIDTHS, **change)
    with pytest.raises(DataError, match=message) as error:
        PoseLiftingDataset(path, **options)
    assert 'train.npz' in str(error.value)


def test_features_come_as_stored_and_stay_on_disk(tmp_path):
    path = _write(tmp_path, features=WIDTHS)
    dataset, batch = _all(path, features=('depth', 'image'))
    made = np.load(path)
    for key, name in (('image_features', 'rtm_joint_feats'), ('depth_features', 'dav2_joint_feats')):
        assert batch[key].dtype == np.float16
        np.testing.assert_array_equal(batch[key], made[name])
        assert isinstance(dataset.annotation.arrays[name], np.memmap)
    assert not {'image_features', 'depth_features'} & set(_all(path)[1]), 'only where asked for'


def test_other_widths_must_be_declared(tmp_path):
    path = _write(tmp_path, features=SMALL)
    with pytest.raises(DataError, match=r'rtm_joint_feats: found shape \(12, 17, 6\), expected shape \(12, 17, 1024\) '
                                        r'or \(12, 17, 192\).*image_feature_channels=6'):
        PoseLiftingDataset(path, features=['image'])
    _, batch = _all(path, features=dict(image=6, depth=4))
    assert batch['image_features'].shape == (12, 17, 6)
    with pytest.raises(DataError, match=r'expected shape \(12, 17, 5\)'):
        PoseLiftingDataset(path, features=dict(image=5))
    PoseLiftingDataset(path)


@pytest.mark.parametrize(('options', 'message'), [
    (dict(depth_stats='minmax'), "depth_stats='minmax'"), (dict(depth_rule='code'), "depth_rule='code'"),
    (dict(with_depth=False, depth_stats='range'), r"depth_stats='range' with with_depth=False"),
    (dict(features=['images']), r"features=\['images'\]"), (dict(features='image'), "features='image'"),
    (dict(sample_stride=0), 'sample_stride=0')])
def test_options_that_contradict_are_refused(tmp_path, options, message):
    path = _write(tmp_path)
    with pytest.raises(ConfigError, match=message):
        PoseLiftingDataset(path, **options)


def test_files_without_depth(tmp_path):
    path = _write(tmp_path, predicted_da_depth=None, summary_casp_descriptor_10d=None)
    for keypoints in ('detected', 'ground_truth'):
        _, batch = _all(path, with_depth=False, keypoints=keypoints)
        assert not [key for key in batch if key.startswith('depth')]
        codec = ImagePoseLifting(use_confidence=True)
        assert codec.encode({key: torch.from_numpy(value)[:, None] if key != 'image_size_px' else
                             torch.from_numpy(value) for key, value in batch.items()})['inputs'].isfinite().all()


@pytest.mark.parametrize('own_visibility', [False, True])
def test_true_points_of_the_target(tmp_path, own_visibility):
    path = _write(tmp_path, part=_at((2, 3), [np.nan, np.nan, 0]), S=lambda a: a if own_visibility else a[..., :3])
    batch = PoseLiftingDataset(path, seq_len=3, with_target_px=True).__getitems__(range(12))
    check_lifting_batch(batch)
    expected = np.load(path)['part'][..., :2]
    expected[2, 3] = 0
    np.testing.assert_array_equal(batch['target_px'][:, 0], expected)
    assert batch['target_visible'][2, 0, 3] == own_visibility


def test_every_nth_sample(tmp_path):
    path = write_lifting_annotation(tmp_path, clips=2, frames=[7, 5])
    whole, part = (PoseLiftingDataset(path, seq_len=3, sample_stride=n) for n in (1, 3))
    assert len(part) == 3 + 2
    found, expected = part.__getitems__(range(5)), whole.__getitems__([0, 3, 5, 8, 11])
    for key in set(expected) - {'sample_index'}:
        assert torch.equal(found[key], expected[key]), key
    assert found['frame_index'][:, 0].tolist() == [0, 3, 0, 3, 6]


def test_workers_get_the_inputs_that_were_asked_for(tmp_path):
    path = _write(tmp_path, features=WIDTHS)
    dataset = PoseLiftingDataset(path, seq_len=3, depth_stats='range', features=['image'])
    copy = pickle.loads(pickle.dumps(dataset))
    assert len(pickle.dumps(dataset)) < path.stat().st_size / 20
    for key, value in copy.__getitems__([0, 5]).items():
        assert torch.equal(value, dataset.__getitems__([0, 5])[key])


def test_ground_truth_reads_nothing_of_the_detections(tmp_path):
    path = write_lifting_annotation(tmp_path, frames=4)
    arrays = dict(np.load(path))
    kept = {key: value for key, value in arrays.items() if not key.startswith(('predicted', 'summary'))}
    np.savez(path, **kept)
    ann = load_lifting_annotation(path, inputs=LiftingInputs(detected=False, depth_stats='range'))
    assert len(ann.rows) == 12
