"""Every malformation that occurs in practice, written into an otherwise sound file."""

import numpy as np
import pytest

from motionlab.datasets.pose_lifting_dataset import PoseLiftingDataset
from motionlab.utils import DataError
from tests.synthetic import write_lifting_annotation

MILLIMETRES = np.float32([1000, 1000, 1000, 1])


def _at(index, value):
    def change(array):
        array[index] = value
        return array
    return change


def _world(joints):
    """Camera axes -> Human3.6M world axes, as if seen by a camera 1.5 m up at the origin."""
    joints[..., :3] = joints[..., [0, 2, 1]] * np.float32([1, 1, -1]) + np.float32([0, 0, 1.5])
    return joints


def _world_of_cameras(joints):
    """Camera axes -> world axes of a camera 1.5 m up in the corner of a room: root and Z stay positive."""
    return _world(joints) + np.float32([2, 0, 0, 0])


def _camera(**changes):
    return dict(cameras=changes)


# What is wrong -> (changes to the file, options of the dataset, words of the error). 3 clips of 20 frames.
RAISED = {
    'arrays of different lengths': (
        dict(predicted_da_depth=lambda a: a[:-3]), {},
        r'key predicted_da_depth: found shape \(57, 17\), expected shape \(60, 17\).*first row .* is 57'),
    'feature map of another length': (
        dict(features={'rtm_joint_feats': 1024}, rtm_joint_feats=lambda a: a[1:]), dict(features=['image']),
        r'key rtm_joint_feats: found shape \(59, 17, 1024\), expected shape \(60, 17'),
    'feature map of another width': (
        dict(features={'rtm_joint_feats': 96}), dict(features=['image']),
        r'key rtm_joint_feats: found shape \(60, 17, 96\), expected shape \(60, 17, 1024\)'),
    'descriptor of another width': (
        dict(summary_casp_descriptor_10d=lambda a: a[..., :6]), dict(depth_rule='casp'),
        r'key summary_casp_descriptor_10d: found shape \(60, 17, 6\), expected shape \(60, 17, 10\)'),
    'depth ranges absent': ({}, dict(depth_stats='range'), r"key predicted_depth_min, predicted_depth_max.*'casp'"),
    'descriptors absent': (
        dict(summary_casp_descriptor_10d=None), dict(depth_rule='casp'),
        r"key summary_casp_descriptor_10d: .*asked for by .*depth_rule='casp'"),
    'confidence of another shape': (
        dict(predicted_keypoints_score=lambda a: a[:, :1]), {},
        r'key predicted_keypoints_score: found shape \(60, 1\), expected shape \(60, 17\)'),
    'confidence in percent': (
        dict(predicted_keypoints_score=lambda a: 100 * a), {}, r'predicted_keypoints_score\[0\]\[0\] \(root\)'),
    'nearest beyond farthest': (
        dict(ranges=True, predicted_depth_min=_at((7, 2), 90)), dict(depth_stats='range'),
        r'predicted_depth_min\[7\]\[2\] \(right_knee\).*expected at most predicted_depth_max'),
    'depth in millimetres': (dict(predicted_da_depth=lambda a: 1000 * a), {}, r'predicted_da_depth\[40\].*metres'),
    'width missing': (_camera(w=None), {}, r'train_cameras\.npz: key w: found only'),
    'height missing': (_camera(h=None), {}, r'train_cameras\.npz: key h: found only'),
    'width and height swapped': (
        _camera(w=np.float32([1920] * 3), h=np.float32([540] * 3)), {}, r'camera synth_.*: found height h 540 px'),
    'height 204 everywhere': (
        _camera(h=np.float32([204] * 3)), {}, r'camera synth_walk_normal-000\.cam0: found height h 204 px .* of part'),
    'camera missing': (_camera(camera_name=np.array(['a', 'b', 'c'])), {}, r'key camera_name: found no camera for 3'),
    'S in millimetres': (dict(S=lambda a: a * MILLIMETRES), {}, r'S\[40\].*median distance of the root .*1 to 20 m'),
    'S in millimetres around a root in metres': (
        dict(S=lambda a: np.concatenate([a[..., :3] + 999 * (a[..., :3] - a[:, :1, :3]), a[..., 3:]], -1)), {},
        r'S\[40\].*median length of bone .*expected 0\.05 to 1 m'),
    'S in world axes': (dict(S=_world), {}, r'S\[\d+\]'),
    'S in world axes, by cameras that tell no more than w and h': (
        dict(S=_world_of_cameras, cameras=dict(f=None, c=None)), {}, r'S\[40\].*focal length .*not in camera axes'),
    'S relative to the root': (
        dict(S=lambda a: np.concatenate([a[..., :3] - a[:, :1, :3], a[..., 3:]], -1)), {},
        r'S\[0\]: found a root with depth Z <= 0 in synth_walk.*_000001\.jpg, expected camera axes'),
    'NaN in a visible joint': (dict(S=_at((11, 3, 1), np.nan)), {}, r'S\[11\]\[3\] \(right_foot\)'),
    'missing detections that must not be': (
        dict(predicted_valid=_at(5, False)), dict(missing_detections='error'),
        r'predicted_keypoints\[5\]: found no detection in synth_walk.*_000006\.jpg'),
    'an image name of no known form': (
        dict(imgname=_at(7, 'nonsense.jpg')), {}, r"imgname\[7\]: found 'nonsense\.jpg'"),
}
DEPTH, SCORE, POINTS = 'predicted_da_depth', 'predicted_keypoints_score', 'predicted_keypoints'
UNKNOWN = ': zero, negative or not finite, masked'
NOBODY = 'predicted_keypoints: joints without a detection, masked'
# What is wrong -> (changes to the file, options, the counts reported, what the batch shows). One clip of 20 frames.
COUNTED = {
    'no depth for a frame': (
        {DEPTH: _at(3, 0)}, {}, {DEPTH + UNKNOWN: 17}, lambda b: (b['depth_m'][3] == 0).all()),
    'depth zero, negative, NaN, infinite': (
        {DEPTH: _at((3, [0, 1, 2, 3]), [0, -2, np.nan, np.inf])}, {}, {DEPTH + UNKNOWN: 4},
        lambda b: (b['depth_m'][3, 0, :4] == 0).all() and (b['depth_m'][3, 0, 4:] > 0).all()),
    'nearest and farthest depth unknown': (
        dict(ranges=True, predicted_depth_min=_at((2, 5), np.nan), predicted_depth_max=_at((2, 6), -1)),
        dict(depth_stats='range'), {f'predicted_depth_min{UNKNOWN}': 1, f'predicted_depth_max{UNKNOWN}': 1},
        lambda b: b['depth_min_m'][2, 0, 5] == 0 == b['depth_max_m'][2, 0, 6]),
    'confidence a little outside 0 to 1': (
        {SCORE: _at((1, [2, 3]), [1.2, -0.1])}, {}, {f'{SCORE}: outside [0, 1], clipped': 2},
        lambda b: b['confidence'][1, 0, 2] == 1 and b['confidence'][1, 0, 3] == 0),
    'confidence NaN': (
        {SCORE: _at((1, 2), np.nan)}, {}, {f'{POINTS} and their score: not finite, masked': 1},
        lambda b: not b['keypoints_valid'][1, 0, 2] and b['confidence'][1, 0, 2] == 0),
    'a frame of zeros where nobody was detected': (
        {POINTS: _at(4, 0), SCORE: _at(4, 0), DEPTH: _at(4, 0), 'predicted_valid': None}, {},
        {NOBODY: 17, f'{POINTS}: frames without any detection, dropped': 1},
        lambda b: len(b['depth_m']) == 19 and (b['depth_m'] > 0).all()),
    'the same, kept': (
        dict(predicted_valid=_at(4, False)), dict(missing_detections='keep'), {NOBODY: 17},
        lambda b: not b['keypoints_valid'][4].any() and len(b['depth_m']) == 20),
}


@pytest.mark.parametrize('case', [*RAISED, *COUNTED])
def test_auglift_11_malformed_input(tmp_path, case):
    """Every malformed case of §2.9 raises or is counted, naming file and key."""
    if case in RAISED:
        changes, options, words = RAISED[case]
        path = write_lifting_annotation(tmp_path, frames=20, **changes)
        with pytest.raises(DataError, match=words) as error:
            PoseLiftingDataset(path, seq_len=1, **options)
        assert str(tmp_path / 'train') in str(error.value)
        assert 'expected' in str(error.value)
        return
    changes, options, counts, shows = COUNTED[case]
    path = write_lifting_annotation(tmp_path, clips=1, frames=20, **changes)
    dataset = PoseLiftingDataset(path, seq_len=1, **options)
    assert dataset.annotation.file == path
    assert dataset.annotation.counts == counts
    batch = dataset.__getitems__(range(len(dataset)))
    assert shows(batch)
    assert all(value.isfinite().all() for value in batch.values())
