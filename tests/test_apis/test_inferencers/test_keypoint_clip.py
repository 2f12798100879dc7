import json

import numpy as np
import pytest

from motionlab.apis.inferencers import read_depth_file
from motionlab.apis.inferencers.keypoint_clip import read_keypoint_clip
from motionlab.body.skeletons import coco_to_h36m
from motionlab.utils import ConfigError, DataError
from tests.synthetic import write_lifting_annotation
from tests.test_apis.lifters import SIZE, make_clip


def read(keypoint_format='h36m17', size=SIZE, **changes):
    return read_keypoint_clip(**{**make_clip(6), **changes}, keypoint_format=keypoint_format, image_size_px=size)


def test_arrays_are_float32_and_joints_valid():
    clip = read(inputs=make_clip(6)['inputs'].astype('f8'))
    assert len(clip) == 6 and clip.valid.all() and clip.source == 'inputs'
    assert all(clip.arrays[key].dtype == np.float32 for key in ('keypoints_px', 'confidence', 'depth_m'))
    batch = clip.batch(2, 5, 'cpu')
    assert batch['keypoints_px'].shape == (1, 3, 17, 2) and batch['image_size_px'].tolist() == [list(SIZE)]


def test_absent_coco_joints_reach_only_their_means():
    clip = make_clip(6)
    clip['inputs'][2, 11] = np.nan                             # Left hip: part of the root and the spine.
    clip['depth_m'][3, 5] = np.inf                             # Left shoulder: part of thorax and spine.
    found = read('coco17', **clip)
    np.testing.assert_array_equal(np.argwhere(~found.valid), [[2, 0], [2, 4], [2, 7]])
    expected = coco_to_h36m(np.nan_to_num(clip['inputs']))
    np.testing.assert_allclose(found.arrays['keypoints_px'][found.valid], expected[found.valid])
    np.testing.assert_array_equal(np.argwhere(found.arrays['depth_m'] == 0), [[3, 7], [3, 8], [3, 11]])
    assert all(np.isfinite(array).all() for array in found.arrays.values())


@pytest.mark.parametrize('bundled', [False, True], ids=['depth beside', 'depth in the file'])
@pytest.mark.parametrize('keypoint_format', ['h36m17', 'coco17'])
def test_npz_of_detections(tmp_path, keypoint_format, bundled):
    clip = make_clip(6)
    arrays = dict(keypoints=clip['inputs'], scores=clip['confidence'], image_size=np.array(SIZE))
    depth = dict(predicted_da_depth=clip['depth_m'][..., None], predicted_depth_min=clip['depth_m'] - 0.1)
    np.savez(tmp_path / 'found.npz', **arrays, **(depth if bundled else {}))
    np.savez(tmp_path / 'depth.npz', **depth)
    extras = None if bundled else read_depth_file(tmp_path / 'depth.npz')
    found = read_keypoint_clip(tmp_path / 'found.npz', keypoint_format, None, extras=extras)
    expected = read(keypoint_format)
    for key in ('keypoints_px', 'confidence'):
        np.testing.assert_allclose(found.arrays[key], expected.arrays[key], rtol=1e-6)
    np.testing.assert_array_equal(found.arrays['depth_m'], clip['depth_m'])    # Per Human3.6M joint, always.
    assert found.arrays['depth_min_m'].shape == (6, 17) and found.image_size_px.tolist() == list(SIZE)


def test_json_of_a_detector(tmp_path):
    clip = make_clip(6)
    frames = [{'frame_id': t, 'instances': [
        {'keypoints': (clip['inputs'][t] + 50).tolist(), 'keypoint_scores': [0.1] * 17},
        {'keypoints': clip['inputs'][t].tolist(), 'keypoint_scores': clip['confidence'][t].tolist()}]}
        for t in range(6)]
    frames[3]['instances'] = []
    (tmp_path / 'found.json').write_text(json.dumps(frames))
    found, expected = read_keypoint_clip(tmp_path / 'found.json', 'h36m17', SIZE, depth_m=clip['depth_m']), read()
    there = np.arange(6) != 3
    np.testing.assert_array_equal(found.valid.any(axis=1), there)
    for key in ('keypoints_px', 'confidence'):
        np.testing.assert_allclose(found.arrays[key][there], expected.arrays[key][there], rtol=1e-6)
    with pytest.raises(DataError, match='image_size_px='):
        read_keypoint_clip(tmp_path / 'found.json', 'h36m17', None)


def test_an_annotation_of_one_clip_only(tmp_path):
    path = write_lifting_annotation(tmp_path, 'one', clips=1, frames=6)
    clip = read_keypoint_clip(path, 'h36m17', (1000, 1000))
    with np.load(path) as arrays:
        np.testing.assert_array_equal(clip.arrays['depth_m'], arrays['predicted_da_depth'])
        np.testing.assert_array_equal(clip.arrays['keypoints_px'], arrays['predicted_keypoints'])
        assert clip.names == arrays['imgname'].tolist()
    path = write_lifting_annotation(tmp_path, 'two', clips=2, frames=6)
    with pytest.raises(DataError, match='found 2 clips, expected one clip'):
        read_keypoint_clip(path, 'h36m17', (1000, 1000))


def test_output_of_extract_depth_whatever_its_pictures_are_called(tmp_path):
    clip = make_clip(3)
    np.savez(tmp_path / 'a.npz', imgname=np.array(['b.png', 'a.png', 'c.png']), image_size=np.array(SIZE),
             predicted_keypoints=clip['inputs'], predicted_keypoints_score=clip['confidence'],
             predicted_valid=np.ones((3, 17), bool), predicted_da_depth=clip['depth_m'])
    found = read_keypoint_clip(tmp_path / 'a.npz', 'h36m17', None)
    assert found.names == ['b.png', 'a.png', 'c.png'] and found.image_size_px.tolist() == list(SIZE)
    np.testing.assert_array_equal(found.arrays['depth_m'], clip['depth_m'])


def test_depth_file_without_depth(tmp_path):
    np.savez(tmp_path / 'a.npz', keypoints=np.zeros((2, 17, 2)))
    with pytest.raises(DataError, match=r"only \['keypoints'\], expected one of \['predicted_da_depth'"):
        read_depth_file(tmp_path / 'a.npz')


@pytest.mark.parametrize(('changes', 'message'), [
    (dict(keypoint_format='coco'), r"found 'coco', expected one of \('h36m17', 'coco17'\)"),
    (dict(inputs=np.zeros((6, 16, 2))), r'shape \(6, 16, 2\), expected \(T, 17, n\)'),
    (dict(inputs=np.zeros((6, 17, 5))), r'shape \(6, 17, 5\)'),
    (dict(inputs=np.zeros((0, 17, 2))), 'T >= 1'),
    (dict(inputs=np.array([['a']])), 'dtype <U1'),
    (dict(inputs=np.full((6, 17, 2), np.nan)), 'no detection in any of 6 frames'),
    (dict(inputs=np.random.default_rng(0).uniform(0, 1, (6, 17, 2))), 'expected pixels'),
    (dict(size=(300, 200)), r'\d+% of the joints outside of 300 x 200 px.*width, height'),
    (dict(size=(1000,)), r'image_size_px: found \[1000\.0\]'),
    (dict(size=None), 'image size: found none'),
    (dict(confidence=np.full((6, 17), 87.0)), 'values from 87 to 87, expected scores'),
    (dict(confidence=np.ones((5, 17))), r'confidence: found shape \(5, 17\), expected shape \(6, 17\)'),
    (dict(depth_m=np.full((6, 17), 4500.0)), 'depth_m: found a median of 4500, expected metres'),
    (dict(inputs=np.full((6, 17, 3), 0.5) * [900, 900, 1]), 'confidence: found a column'),
    (dict(extras={'depth_min_px': np.zeros((6, 17, 3))}), r'depth_min_px: found shape \(6, 17, 3\)'),
    (dict(extras={'depth': np.zeros((6, 17))}), 'extras: found depth, expected among depth_min_m'),
])
def test_inputs_that_cannot_be(changes, message):
    with pytest.raises((DataError, ConfigError), match=message):
        read(**changes)
