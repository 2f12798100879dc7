import re
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motionlab.datasets.lifting_annotation import load_cameras, load_lifting_annotation
from motionlab.datasets.lifting_clips import parse_image_names
from motionlab.datasets.lifting_inputs import LiftingInputs
from motionlab.utils import ConfigError, DataError
from tests.synthetic import write_lifting_annotation


def _set(index, value):
    """An override that writes ``value`` at ``index`` of the made array."""
    def change(array):
        array[index] = value
        return array
    return change


# ---------------------------------------------------------------------------------------------------- image names


@pytest.mark.parametrize(('name', 'clip', 'subject', 'action', 'frame', 'camera_name'), [
    ('S1_Directions_1.54138969_000001.jpg', 'S1_Directions_1.54138969', 'S1', 'Directions', 1, 'S1_54138969'),
    ('S9/x/S9_WalkDog.54138969_000020.jpg', 'S9_WalkDog.54138969', 'S9', 'WalkDog', 20, '54138969'),
    ('S11_Walking 1.60457274_000301.jpg', 'S11_Walking 1.60457274', 'S11', 'Walking', 301, 'S11.60457274'),
    ('S1_Directions_1_54138969_img_000007.jpg', 'S1_Directions_1_54138969', 'S1', 'Directions', 7, '54138969'),
    ('S1_Seq2_Cam8_000010.jpg', 'S1_Seq2_Cam8', 'S1', 'Seq2', 10, 'S1_Seq2_Cam8'),
    ('TS6_000492.jpg', 'TS6', 'TS6', 'TS6', 492, 'TS6'),
    ('downtown_runForBus_00_participant1_frame00012.jpg', 'downtown_runForBus_00_participant1', 'participant1',
     'runForBus', 12, 'downtown_runForBus_00'),
    ('s10_50591643_walk_the_box.mp4_002486.jpg', 's10_50591643_walk_the_box.mp4', 's10', 'walk_the_box', 2486,
     's10_50591643'),
    ('S10_50591643_burpees.mp4_000001.jpg', 'S10_50591643_burpees.mp4', 'S10', 'burpees', 1, 'S10_50591643'),
    ('bandai2_walk-turn-left_active-001.cam0_000001.jpg', 'bandai2_walk-turn-left_active-001.cam0', 'bandai2',
     'walk-turn-left', 1, 'bandai2_walk-turn-left_active-001.cam0'),
])
@pytest.mark.parametrize('kind', ['U', 'S'])
def test_every_naming_is_understood(kind, name, clip, subject, action, frame, camera_name):
    table = parse_image_names('file', np.array([name]).astype(kind))
    found = table.clips[0]
    assert (found.name, found.subject, found.action) == (clip, subject, action)
    assert table.frame_number.tolist() == [frame]
    assert camera_name in found.camera_names


def test_clips_are_sorted_and_rows_may_be_mixed():
    names = np.array(['TS2_000003.jpg', 'TS1_000001.jpg', 'TS2_000001.jpg', 'a/TS1_12.png', 'TS1_000002.jpg'])
    table = parse_image_names('file', names)
    assert [clip.name for clip in table.clips] == ['TS1', 'TS2']
    assert table.clip_of_row.tolist() == [1, 0, 1, 0, 0]
    assert table.frame_number.tolist() == [3, 1, 1, 12, 2]


@pytest.mark.parametrize('bad', ['TS1.jpg', 'what is this_000001.jpg', '', 'TS1_000001', '.', 'TS1_0001.5.jpg'])
def test_unknown_naming_names_the_first_bad_row(bad):
    with pytest.raises(DataError, match=rf'imgname\[1\]: found {re.escape(repr(bad))}'):
        parse_image_names('file', np.array(['TS1_000001.jpg', bad, 'TS1_000002.jpg', bad]))


def test_names_must_be_text():
    with pytest.raises(DataError, match='key imgname'):
        parse_image_names('file', np.arange(3))


# -------------------------------------------------------------------------------------------------- good annotations


def test_rows_clips_and_sizes(tmp_path):
    ann = load_lifting_annotation(write_lifting_annotation(tmp_path, frames=[5, 7, 6]))
    assert [clip.action for clip in ann.clips] == ['jump', 'reach-out', 'walk']
    assert ann.run_lengths.tolist() == [6, 7, 5]
    assert ann.rows.tolist() == [*range(12, 18), *range(5, 12), *range(5)]
    assert ann.image_size_px.tolist() == [[1000, 1000], [1000, 1002], [1000, 1000]]
    assert ann.fps == 30
    assert ann.valid.all()
    assert not ann.counts


def test_arrays_stay_on_disk(tmp_path):
    ann = load_lifting_annotation(write_lifting_annotation(tmp_path))
    assert all(isinstance(array, np.memmap) for array in ann.arrays.values())


def test_shuffled_rows_give_the_same_clips(tmp_path):
    straight = load_lifting_annotation(write_lifting_annotation(tmp_path / 'a', frames=9))
    order = np.random.default_rng(0).permutation(27)
    with np.load(write_lifting_annotation(tmp_path / 'b', frames=9)) as made:
        arrays = {key: made[key][order] for key in made}
    np.savez(tmp_path / 'b' / 'train.npz', **arrays)
    mixed = load_lifting_annotation(tmp_path / 'b' / 'train.npz')
    np.testing.assert_array_equal(order[mixed.rows], straight.rows)
    assert mixed.run_lengths.tolist() == [9, 9, 9]


def test_gaps_break_runs_and_keep_a_distance(tmp_path):
    keep = np.array([0, 1, 2, 4, 5, 9])  # Frames 1 2 3 | 5 6 | 10 of one clip.
    path = write_lifting_annotation(tmp_path, clips=1, frames=10)
    with np.load(path) as made:
        arrays = {key: made[key][keep] for key in made}
    np.savez(path, **arrays)
    ann = load_lifting_annotation(path)
    assert ann.run_starts.tolist() == [0, 3, 5]
    assert ann.run_lengths.tolist() == [3, 2, 1]
    assert ann.run_frames.tolist() == [0, 4, 9]


def test_stride_is_found_or_declared(tmp_path):
    path = write_lifting_annotation(tmp_path, clips=2, frames=10)
    with np.load(path) as made:
        arrays = {key: made[key][::2] for key in made}
    np.savez(path, **arrays)
    ann = load_lifting_annotation(path)
    assert ann.run_lengths.tolist() == [5, 5]
    assert load_lifting_annotation(path, frame_stride=1).run_lengths.tolist() == [1] * 10


def test_mmpose_file_without_detections(tmp_path):
    """Only imgname, center, scale, part and S, H36M cameras by (subject, camera id), as float64 and (2, 1)."""
    drop = dict.fromkeys(('predicted_keypoints', 'predicted_keypoints_score', 'predicted_da_depth',
                          'summary_casp_descriptor_10d', 'predicted_valid'))
    names = np.array([f'S1/S1_Directions_1.54138969_{i:06d}.jpg' for i in range(1, 21)])
    path = write_lifting_annotation(
        tmp_path, clips=1, frames=20, imgname=names, **drop, part=lambda a: a.astype('f8'), S=lambda a: a.astype('f8'),
        cameras=dict(camera_name=np.array(['S1_54138969']), f=lambda a: a[..., None].astype('f8'),
                     c=lambda a: a[..., None], k=lambda a: a[..., None], p=lambda a: a[..., None], fps=None))
    ann = load_lifting_annotation(path, inputs=LiftingInputs(detected=False))
    assert ann.run_lengths.tolist() == [20]
    assert ann.fps is None
    with pytest.raises(DataError, match='key predicted_keypoints, predicted_keypoints_score, predicted_da_depth'):
        load_lifting_annotation(path)


def test_other_shapes_of_the_format_are_accepted(tmp_path):
    ann = load_lifting_annotation(write_lifting_annotation(
        tmp_path, S=lambda a: a[..., :3], predicted_keypoints_score=lambda a: a[..., None],
        predicted_da_depth=lambda a: a[..., None].astype('f2'), predicted_valid=None))
    assert ann.valid.all()


# --------------------------------------------------------------------------------------------- counted, not an error


@pytest.mark.parametrize('bad', [0, -1, np.nan, np.inf])
def test_bad_depth_is_counted(tmp_path, bad):
    ann = load_lifting_annotation(write_lifting_annotation(tmp_path, predicted_da_depth=_set((3, slice(0, 5)), bad)))
    assert ann.counts == {'predicted_da_depth: zero, negative or not finite, masked': 5}
    assert ann.valid.all(), 'the 2D point is as good as before'


def test_confidence_outside_0_1_is_counted(tmp_path):
    ann = load_lifting_annotation(write_lifting_annotation(tmp_path, predicted_keypoints_score=_set((2, 3), 1.2)))
    assert ann.counts == {'predicted_keypoints_score: outside [0, 1], clipped': 1}


@pytest.mark.parametrize('key', ['predicted_keypoints', 'predicted_keypoints_score'])
def test_detections_that_are_not_finite_are_masked(tmp_path, key):
    ann = load_lifting_annotation(write_lifting_annotation(tmp_path, **{key: _set((2, 3), np.nan)}))
    assert ann.counts == {'predicted_keypoints and their score: not finite, masked': 1}
    assert not ann.valid[2, 3]
    assert ann.valid.sum() == ann.valid.size - 1


@pytest.mark.parametrize('derived', [False, True])
def test_missing_detections_are_masked_and_frames_without_any_dropped(tmp_path, derived):
    """predicted_valid says so, or, without it, zeros do."""
    rows = (slice(0, 4), slice(0, 9))
    zeros = dict(predicted_keypoints=_set(rows, 0), predicted_keypoints_score=_set(rows, 0), predicted_valid=None)
    change = zeros if derived else dict(predicted_valid=_set(rows, False))
    ann = load_lifting_annotation(write_lifting_annotation(tmp_path / 'part', **change))
    assert ann.counts == {'predicted_keypoints: joints without a detection, masked': 36}
    assert len(ann.rows) == 120

    # Points of zeros are no detections either, whatever else says so.
    ann = load_lifting_annotation(write_lifting_annotation(tmp_path / 'points', predicted_keypoints=_set(rows, 0)))
    assert ann.counts == {'predicted_keypoints: joints without a detection, masked': 36}

    def frame(value):
        return lambda array: _set((slice(5, 7),), value)(array)
    change = (dict(predicted_keypoints=frame(0), predicted_keypoints_score=frame(0), predicted_valid=None)
              if derived else dict(predicted_valid=frame(False)))
    path = write_lifting_annotation(tmp_path / 'whole', clips=1, frames=20, **change)
    ann = load_lifting_annotation(path)
    assert ann.counts['predicted_keypoints: frames without any detection, dropped'] == 2
    assert ann.run_lengths.tolist() == [5, 13]
    assert ann.run_frames.tolist() == [0, 7]
    assert load_lifting_annotation(path, missing_detections='keep').run_lengths.tolist() == [20]
    with pytest.raises(DataError, match=r'predicted_keypoints\[5\]: found no detection in synth_walk.*_000006\.jpg'):
        load_lifting_annotation(path, missing_detections='error')


def test_hidden_joints_may_hold_anything_finite_or_not(tmp_path):
    def hide(array):
        array[4, 9] = np.nan
        array[4, 9, -1] = 0
        return array
    path = write_lifting_annotation(tmp_path, part=hide, S=hide)
    ann = load_lifting_annotation(path, inputs=LiftingInputs(detected=False))
    assert not ann.valid[4, 9]
    assert ann.counts['part and S: joints hidden in one of them, masked'] == 1


# ---------------------------------------------------------------------------------------------------- malformed files

_MALFORMED = {
    'missing key': (dict(S=None), r'train\.npz: key S: found only'),
    'missing detection': (dict(predicted_da_depth=None), r'key predicted_da_depth: found only'),
    'fewer rows': (dict(part=lambda a: a[:-1]), r'key part: found shape \(119, 17, 3\), expected shape \(120, 17, 3\)'
                                               r'.*first row without a partner is 119'),
    'more rows': (dict(S=lambda a: np.concatenate([a, a[:2]])), r'key S: found shape \(122, 17, 4\), expected'),
    'wrong joints': (dict(predicted_keypoints=lambda a: a[:, :16]), r'key predicted_keypoints: found shape'),
    'wrong width': (dict(part=lambda a: a[..., :2]), r'key part: found shape \(120, 17, 2\)'),
    'score shape': (dict(predicted_keypoints_score=lambda a: a[..., None, None]), r'key predicted_keypoints_score'),
    'feature axes': (dict(rtm_joint_feats=np.zeros((120, 17, 1, 7), 'f2')),
                     r'key rtm_joint_feats: found shape \(120, 17, 1, 7\), expected shape \(120, 17, any\)'),
    'feature rows': (dict(dav2_joint_feats=np.zeros((119, 17, 7), 'f2')),
                     r'key dav2_joint_feats: found shape \(119, 17, 7\), expected shape \(120, 17, any\), a row'),
    'descriptor width': (dict(summary_casp_descriptor_10d=lambda a: a[..., :6]), r'key summary_casp_descriptor_10d'),
    'text for numbers': (dict(S=lambda a: a.astype('U8')), r'key S: found dtype <U8'),
    'valid as numbers': (dict(predicted_valid=lambda a: a.astype('f4')), r'key predicted_valid: found dtype float32'),
    'no rows': (dict.fromkeys(('imgname', 'center', 'scale', 'part', 'S', 'predicted_keypoints', 'predicted_valid',
                               'predicted_keypoints_score', 'predicted_da_depth', 'summary_casp_descriptor_10d'),
                              lambda a: a[:0]), r'key imgname: found 0 rows'),
    'names': (dict(imgname=_set(7, 'nonsense.jpg')), r"imgname\[7\]: found 'nonsense\.jpg'"),
    'a frame twice': (dict(imgname=lambda a: _set(8, a[7])(a)), r'imgname\[8\]: found synth_walk.*as row 7'),
    'NaN in S': (dict(S=_set((11, 3, 1), np.nan)), r'S\[11\]\[3\] \(right_foot\): found a number that is not finite'),
    'NaN in part': (dict(part=_set((12, 4, 0), np.inf)), r'part\[12\]\[4\] \(left_hip\): found a number that is not'),
    'NaN visibility': (dict(S=_set((13, 5, 3), np.nan)), r'S\[13\]\[5\] \(left_knee\)'),
    'behind the camera': (dict(S=_set((14, 0, 2), -1)), r'S\[14\]: found a root with depth Z <= 0'),
    'millimetres': (dict(S=lambda a: a * np.float32([1000, 1000, 1000, 1])),
                    r'S\[80\].*median distance of the root from the camera .*expected 1 to 20 m'),
    'one clip in millimetres': (dict(S=lambda a: np.concatenate([a[:40] * np.float32([1000, 1000, 1000, 1]), a[40:]])),
                                r'S\[0\] \(synth_walk.*median distance'),
    'joint order': (dict(S=lambda a: _set((slice(None), 10), a[:, 3].copy())(a)), r'bone neck_base-head'),
    'not this camera': (dict(S=lambda a: a + np.float32([0.8, 0, 0, 0])), r'distance of projected S from part'),
    'depth in millimetres': (dict(predicted_da_depth=lambda a: 1000 * a), r'predicted_da_depth\[80\].*over true depth'),
    'percentages': (dict(predicted_keypoints_score=lambda a: 100 * a),
                    r'predicted_keypoints_score\[0\]\[0\] \(root\): found a confidence outside'),
}


@pytest.mark.parametrize('case', _MALFORMED)
def test_malformed_annotation_is_named(tmp_path, case):
    overrides, message = _MALFORMED[case]
    path = write_lifting_annotation(tmp_path, **overrides)
    with pytest.raises(DataError, match=message) as caught:
        load_lifting_annotation(path)
    assert 'train.npz' in str(caught.value)
    assert 'expected' in str(caught.value)


_MALFORMED_CAMERAS = {
    'missing w': (dict(w=None), r'key w: found only'),
    'missing names': (dict(camera_name=None), r'key camera_name'),
    'too few': (dict(w=lambda a: a[:-1]), r'key w: found float32 of shape \(2,\), expected numbers of shape \(3,\)'),
    'h is zero': (dict(h=_set(1, 0)), r'h\[1\] \(camera synth_reach-out_normal-001\.cam1\): found 0\.0'),
    'h is NaN': (dict(h=_set(1, np.nan)), r'h\[1\] .*found nan'),
    'h too small': (dict(h=_set(1, 204)), r'camera synth_reach-out_normal-001\.cam1: found height h 204 px with'),
    'w too small': (dict(w=_set(2, 300)), r'camera synth_jump_normal-002\.cam2: found width w 300 px with'),
    'swapped': (dict(w=np.float32([1920] * 3), h=np.float32([540] * 3)), r'found height h 540 px'),
    'no rotation': (dict(R=lambda a: 2 * a), r'R\[0\] \(camera .*a rotation matrix'),
    'wrong f': (dict(f=lambda a: a[:, :1]), r'key f: found float32 of shape \(3, 1\)'),
    'same name': (dict(camera_name=lambda a: _set(1, a[0])(a)), r'camera_name\[0\]: found synth_walk.* 2 times'),
    'other names': (dict(camera_name=np.array(['a', 'b', 'c'])), r'no camera for 3 of 3 clips, first synth_jump'),
    'names are numbers': (dict(camera_name=np.arange(3)), r'key camera_name: found int64'),
    'text sizes': (dict(w=lambda a: a.astype('U8')), r'key w: found <U8'),
}


@pytest.mark.parametrize('case', _MALFORMED_CAMERAS)
def test_malformed_cameras_are_named(tmp_path, case):
    overrides, message = _MALFORMED_CAMERAS[case]
    path = write_lifting_annotation(tmp_path, cameras=overrides)
    with pytest.raises(DataError, match=message) as caught:
        load_lifting_annotation(path)
    assert 'train' in str(caught.value)


def test_absent_cameras_are_named(tmp_path):
    path = write_lifting_annotation(tmp_path)
    shutil.move(tmp_path / 'train_cameras.npz', tmp_path / 'cams.npz')
    with pytest.raises(DataError, match=r'train_cameras\.npz: file: found nothing'):
        load_lifting_annotation(path)
    assert len(load_lifting_annotation(path, tmp_path / 'cams.npz').rows) == 120
    assert set(load_cameras(tmp_path / 'cams.npz')) >= {'R', 'w', 'h'}


def test_unknown_action_for_missing_detections_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="missing_detections='skip'"):
        load_lifting_annotation(write_lifting_annotation(tmp_path), missing_detections='skip')


# ---------------------------------------------------------------------------------------------------------- fuzz


_FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_FUZZ
@given(which=st.sampled_from(['train.npz', 'train_cameras.npz']), cut=st.floats(0, 1, exclude_max=True),
       changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=3),
       truncate=st.booleans())
def test_damaged_files_are_refused_or_unharmed(tmp_path, which, cut, changes, truncate):
    path = write_lifting_annotation(tmp_path, clips=1, frames=3)
    sound = load_lifting_annotation(path)
    expected = {key: np.array(array) for key, array in sound.arrays.items()}
    content = bytearray((tmp_path / which).read_bytes())
    for place, value in changes:
        content[int(place * len(content))] = value
    if truncate:
        del content[int(cut * len(content)):]
    del sound
    (tmp_path / which).unlink()  # The maps of the sound file must keep their bytes.
    (tmp_path / which).write_bytes(content)
    try:
        found = load_lifting_annotation(path)
    except DataError as error:
        assert which in str(error)
        return
    assert not truncate
    for key in ('imgname', 'S', 'part', 'predicted_keypoints', 'predicted_keypoints_score', 'predicted_da_depth'):
        np.testing.assert_array_equal(found.arrays[key], expected[key])


@_FUZZ
@given(key=st.sampled_from(['S', 'part', 'predicted_keypoints', 'predicted_keypoints_score', 'predicted_da_depth',
                            'predicted_depth_min', 'predicted_depth_max', 'predicted_depth_min_px']),
       row=st.integers(0, 5), joint=st.integers(0, 16), column=st.integers(0, 3),
       value=st.floats(width=32, allow_nan=True, allow_infinity=True))
def test_any_number_anywhere_is_refused_or_finite_in_the_batch(tmp_path, key, row, joint, column, value):
    """A wrong number never reaches a batch as NaN, infinity, or a depth or confidence out of range."""
    from motionlab.datasets.pose_lifting_dataset import PoseLiftingDataset

    def change(array):
        if array.ndim == 3:
            array[row, joint, min(column, array.shape[-1] - 1)] = value
        else:
            array[row, joint] = value
        return array
    path = write_lifting_annotation(tmp_path, clips=1, frames=6, ranges=True, **{key: change})
    try:
        batch = PoseLiftingDataset(path, seq_len=3, depth_stats='spatial').__getitems__(range(6))
    except DataError as error:
        assert key in str(error) or 'part' in str(error) or 'predicted_depth_min' in str(error)
        return
    assert all(tensor.isfinite().all() for tensor in batch.values())
    assert batch['confidence'].min() >= 0
    assert batch['confidence'].max() <= 1
    assert all(batch[key].min() >= 0 for key in ('depth_m', 'depth_min_m', 'depth_max_m'))
