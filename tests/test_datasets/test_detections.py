"""Detector files become one person per frame in Human3.6M order; what breaks the format is named."""

import json

import numpy as np
import pytest

from motionlab.body.skeletons import coco_to_h36m
from motionlab.datasets.detections import load_detections
from motionlab.utils import ConfigError, DataError

RNG = np.random.default_rng(0)


def person(score=0.8):
    keypoints = RNG.uniform(50, 400, (17, 2))
    # As mmpose's split_instances writes it.
    return dict(keypoints=keypoints.tolist(), keypoint_scores=np.full(17, score).tolist(),
                bbox=[[10.0, 10.0, 410.0, 410.0]], bbox_score=0.9)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def test_video_file_best_person_and_empty_frames(tmp_path):
    best = person(0.9)
    frames = [[person(0.3), best, person(0.5)], [], [person()]]
    content = [dict(frame_id=i, instances=held) for i, held in enumerate(frames)]
    found = load_detections(write(tmp_path / 'clip.json', content), 'coco17')
    assert len(found) == 3 and found.names is None and found.image_size_px is None
    assert found.keypoints_px.dtype == found.confidence.dtype == np.float32
    expected = coco_to_h36m(np.array(best['keypoints']))
    np.testing.assert_allclose(found.keypoints_px[0], expected, rtol=1e-6)
    np.testing.assert_allclose(found.confidence[0], 0.9, rtol=1e-6)
    assert found.valid.all(1).tolist() == [True, False, True]
    assert not found.keypoints_px[1].any() and not found.confidence[1].any()
    assert found.counts == {'frames without a person': 1, 'frames with several persons': 1}


def test_h36m_order_is_left_alone(tmp_path):
    one = person()
    found = load_detections(write(tmp_path / 'clip.json', [dict(instances=[one])]), 'h36m17')
    np.testing.assert_allclose(found.keypoints_px[0], one['keypoints'], rtol=1e-6)


@pytest.mark.parametrize('wrap', [
    lambda frames: [dict(instances=frame) for frame in frames],                         # without numbers
    lambda frames: frames,                                                              # lists of instances
    lambda frames: dict(meta_info={}, instance_info=[dict(frame_id=i + 1, instances=f)  # the demo script, from 1
                                                     for i, f in enumerate(frames)]),
    lambda frames: [dict(frame_id=i, instances=f) for i, f in reversed(list(enumerate(frames)))],
    lambda frames: [dict(frame_id=i, instances=f) for i, f in enumerate(frames) if f],  # empty frames left out
])
def test_ways_to_write_frames_agree(tmp_path, wrap):
    frames = [[person()], [], [person()]]
    plain = load_detections(write(tmp_path / 'a.json', [dict(frame_id=i, instances=f) for i, f in enumerate(frames)]),
                            'coco17')
    other = load_detections(write(tmp_path / 'b.json', wrap(frames)), 'coco17')
    np.testing.assert_array_equal(plain.keypoints_px, other.keypoints_px)
    np.testing.assert_array_equal(plain.valid, other.valid)
    assert plain.counts == other.counts


def test_folder_has_names_in_natural_order(tmp_path):
    persons = {name: person() for name in ('img_10', 'img_2')}
    for name, one in persons.items():
        write(tmp_path / f'{name}.json', [one])
    write(tmp_path / 'img_3.json', [])
    found = load_detections(tmp_path, 'h36m17')
    assert found.names == ['img_2', 'img_3', 'img_10']
    np.testing.assert_allclose(found.keypoints_px[2], persons['img_10']['keypoints'], rtol=1e-6)
    assert found.valid[:, 0].tolist() == [True, False, True] and found.counts == {'frames without a person': 1}
    write(tmp_path / 'img_4.json', [dict(frame_id=i, instances=[]) for i in range(2)])
    with pytest.raises(DataError, match=r'img_4\.json: frames: found 2'):
        load_detections(tmp_path, 'h36m17')


def test_joints_that_are_not_finite_are_absent_with_their_means(tmp_path):
    one = person()
    one['keypoints'][11] = [float('nan'), 3.0]  # COCO left hip: H36M root, left hip and spine hang on it.
    found = load_detections(write(tmp_path / 'clip.json', [dict(instances=[one])]), 'coco17')
    assert np.flatnonzero(~found.valid[0]).tolist() == [0, 4, 7]
    assert np.isfinite(found.keypoints_px).all() and not found.keypoints_px[0, [0, 4, 7]].any()
    assert found.counts == {'joints that are not finite, in frames with a person': 1}


def test_joints_of_zeros_are_absent_whatever_their_score(tmp_path):
    one = person()
    one['keypoints'][9] = [0.0, 0.0]  # COCO left wrist
    found = load_detections(write(tmp_path / 'clip.json', [dict(instances=[one])]), 'coco17')
    assert np.flatnonzero(~found.valid[0]).tolist() == [13] and found.confidence[0, 13] == 0
    assert found.counts == {'joints at x = y = 0, taken for absent, in frames with a person': 1}


def test_npz_forms_agree(tmp_path):
    points, scores = RNG.uniform(50, 400, (4, 17, 2)), RNG.uniform(0.2, 1, (4, 17))
    points[1], scores[1] = 0, 0
    size = np.array([640, 480])
    np.savez(tmp_path / 'a.npz', keypoints=points, scores=scores, image_size=size, names=np.array(list('wxyz')))
    np.savez(tmp_path / 'b.npz', keypoints=np.concatenate([points, scores[..., None]], -1), image_size=size)
    np.savez(tmp_path / 'c.npz', predicted_keypoints=points, predicted_keypoints_score=scores[..., None],
             image_size=size, predicted_valid=scores > 0, imgname=np.array(list('wxyz')))
    first, *others = (load_detections(tmp_path / f'{name}.npz', 'h36m17') for name in 'abc')
    assert first.names == list('wxyz') and first.image_size_px.tolist() == [640, 480]
    assert first.valid.all(1).tolist() == [True, False, True, True]
    assert first.counts == {'frames without a person': 1}
    np.testing.assert_allclose(first.keypoints_px, points, rtol=1e-6)
    for other in others:
        for name in ('keypoints_px', 'confidence', 'valid', 'image_size_px'):
            np.testing.assert_array_equal(getattr(first, name), getattr(other, name))
    with pytest.raises(DataError, match=r"keypoint_format: found coco17.*'h36m17'"):
        load_detections(tmp_path / 'c.npz', 'coco17')


BAD_JSON = {
    'no list': (dict(foo=1), 'content: found nothing'),
    'a number': (3, 'content: found a int'),
    'frame is text': ([dict(instances=[]), 'x'], r'frame\[1\]\.instances: found a str'),
    'no instances': ([dict(frame_id=0)], r'frame\[0\]\.instances: found nothing'),
    'instance is a list': ([dict(instances=[[1, 2]])], r'frame\[0\]\.instances\[0\]: found a list'),
    'no scores': ([dict(instances=[dict(keypoints=[[1, 2]] * 17)])],
                  r'frame\[0\]\.instances\[0\]\.keypoint_scores: found only'),
    'wholebody': ([dict(instances=[dict(keypoints=[[1, 2]] * 133, keypoint_scores=[1] * 133)])],
                  r'keypoints: found shape \(133, 2\), expected numbers of shape \(17, 2\)'),
    'ragged': ([dict(instances=[dict(keypoints=[[1, 2]] * 16 + [[1]], keypoint_scores=[1] * 17)])],
               r'keypoints: found a list of other things'),
    'null': ([dict(instances=[]), dict(instances=[dict(keypoints=[[1, 2]] * 17, keypoint_scores=[None] * 17)])],
             r'frame\[1\]\.instances\[0\]\.keypoint_scores: found a list of other things'),
    'number twice': ([dict(frame_id=0, instances=[]), dict(frame_id=0, instances=[])],
                     r'frame\[1\]\.frame_id: found 0'),
    'number lacks': ([dict(frame_id=0, instances=[]), dict(instances=[])], r'frame\[1\]\.frame_id: found None'),
    'late start': ([dict(frame_id=7, instances=[])], '7 as the first frame'),
    'absurd number': ([dict(frame_id=0, instances=[]), dict(frame_id=10 ** 9, instances=[])], '1000000000 in a file'),
}


@pytest.mark.parametrize('case', BAD_JSON)
def test_malformed_json_names_file_frame_and_field(tmp_path, case):
    content, message = BAD_JSON[case]
    with pytest.raises(DataError, match=rf'clip\.json: .*{message}'):
        load_detections(write(tmp_path / 'clip.json', content), 'coco17')


def test_other_bad_input_is_named(tmp_path):
    (tmp_path / 'broken.json').write_text('[{"frame_id": 0,')
    with pytest.raises(DataError, match=r'broken\.json: file: found JSONDecodeError'):
        load_detections(tmp_path / 'broken.json', 'coco17')
    with pytest.raises(DataError, match='nothing at this path'):
        load_detections(tmp_path / 'absent.json', 'coco17')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(DataError, match=r'no \.json file'):
        load_detections(tmp_path / 'empty', 'coco17')
    with pytest.raises(ConfigError, match=r"'coco'.*'h36m17', 'coco17'"):
        load_detections(tmp_path / 'broken.json', 'coco')
    for arrays, message in (
            (dict(x=np.zeros(3)), 'key keypoints: found only'),
            (dict(keypoints=np.zeros((3, 17, 2))), 'key scores'),
            (dict(keypoints=np.zeros((3, 16, 2)), scores=np.zeros((3, 16))), r'\(3, 16, 2\)'),
            (dict(keypoints=np.zeros((3, 17, 2)), scores=np.zeros((2, 17))), r'scores.*\(2, 17\).*\(3, 17\)'),
            (dict(keypoints=np.zeros((3, 17, 3)), image_size=np.array([0, 5])), 'image_size')):
        np.savez(tmp_path / 'bad.npz', **arrays)
        with pytest.raises(DataError, match=message):
            load_detections(tmp_path / 'bad.npz', 'coco17')
