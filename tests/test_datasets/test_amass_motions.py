"""Whole motions: rates, shapes, up axis, and what is said about doubtful files."""

import numpy as np
import pytest
import torch

from motionlab.body.kinematics import Y_UP_TO_Z_UP
from motionlab.body.rotations import rotvec_to_rotmat
from motionlab.datasets.amass.motions import MotionSelection, RestPelvis
from motionlab.datasets.store import open_npz
from motionlab.utils import ConfigError, DataError
from tests.amass_tree import write_motion
from tests.test_datasets.test_amass_preparation import prepare

PELVIS = RestPelvis('smplx', 'neutral', 'a body', np.array([0.003, -0.351, 0.012]),
                    np.random.default_rng(0).normal(0, 0.02, (3, 16)))
TO_Y_UP = np.array(Y_UP_TO_Z_UP).T
SPLITS = {'train': ['X']}


def _motions(tmp_path, selection=None, name='out', **options):
    selection = selection or MotionSelection(min_frames=1)
    result = prepare(tmp_path / 'amass', tmp_path / name, splits=SPLITS, selection=selection, **options)
    return open_npz(result.files['train']), result.manifest


def _write(tmp_path, name='a_stageii.npz', num_frames=61, **options):
    return write_motion(tmp_path / 'amass/X/s1' / name, num_frames, **options)


@pytest.mark.parametrize(('fps', 'stride'), [(120, 4), (60, 2), (59.94, 2), (30, 1), (29.97, 1), (150, 5), (119.88, 4)])
def test_rates_within_two_percent_of_a_multiple_lose_nothing_but_frames(tmp_path, fps, stride):
    path = _write(tmp_path, fps=float(fps))
    rows, manifest = _motions(tmp_path)
    with np.load(path) as data:
        for key in ('root_orient', 'pose_body', 'trans'):
            np.testing.assert_array_equal(rows[key], data[key][::stride].astype(np.float32))
    assert rows['source_fps'] == [fps] and rows['fps'] == 30 and manifest['notices'] == {}


@pytest.mark.parametrize(('fps', 'frames'), [(100.0, 19), (25.0, 73), (50.0, 37), (250.0, 8)])
def test_other_rates_are_interpolated(tmp_path, fps, frames):
    path = _write(tmp_path, fps=fps)
    rows, manifest = _motions(tmp_path)
    assert len(rows['trans']) == frames == int(60 / fps * 30) + 1
    with np.load(path) as data:
        trans, root = data['trans'], torch.from_numpy(data['root_orient'])
    times = np.arange(frames) / 30 * fps
    expected = np.stack([np.interp(times, np.arange(61), trans[:, axis]) for axis in range(3)], axis=1)
    np.testing.assert_allclose(rows['trans'], expected, atol=1e-6)
    whole = np.flatnonzero(np.isclose(times % 1, 0))
    assert len(whole) > 1
    matrices = rotvec_to_rotmat(torch.tensor(rows['root_orient'])).numpy()
    at_frames = rotvec_to_rotmat(root).numpy()[times[whole].round().astype(int)]
    np.testing.assert_allclose(matrices[whole], at_frames, atol=1e-6)
    [notice] = manifest['notices']
    assert notice == f'frame rate: interpolated from {fps:g} to 30 frames per second'


def test_sequences_lie_in_a_row(tmp_path):
    _write(tmp_path, 'a_stageii.npz', 61, gender=b'female')
    _write(tmp_path, 'b_poses.npz', 121)
    _write(tmp_path, 'c_stageii.npz', 40)
    rows, manifest = _motions(tmp_path, MotionSelection())
    assert rows['starts'].tolist() == [0, 16, 47] and rows['starts'].dtype == np.int64
    assert rows['files'].tolist() == ['X/s1/a_stageii.npz', 'X/s1/b_poses.npz']
    assert rows['gender'].tolist() == ['female', 'neutral'] and rows['family'].tolist() == ['smplx', 'smplh']
    assert rows['betas'].shape == (2, 16) and rows['num_betas'].tolist() == [16, 16]
    assert rows['up_axis'] == 'z'
    assert rows['subjects'].tolist() == ['s1', 's1'] and rows['datasets'].tolist() == ['X', 'X']
    assert {key: rows[key].dtype for key in ('trans', 'pose_body', 'root_orient', 'betas')} == dict.fromkeys(
        ('trans', 'pose_body', 'root_orient', 'betas'), np.dtype(np.float32))
    [table] = manifest['table']
    assert (table['used'], table['too_short'], table['frames_seen'], table['frames_kept']) == (2, 1, 222, 47)


@pytest.mark.parametrize(('num_betas', 'notice'), [(10, 'betas: 10, padded to 16'), (300, 'betas: 300, cut to 16'),
                                                   (None, 'betas: absent, taken for the mean shape')])
def test_betas_of_other_lengths(tmp_path, num_betas, notice):
    options = dict(changes={'betas': None}) if num_betas is None else dict(num_betas=num_betas)
    path = _write(tmp_path, **options)
    rows, manifest = _motions(tmp_path)
    assert list(manifest['notices']) == [notice] and manifest['notices'][notice]['files'] == ['X/s1/a_stageii.npz']
    kept = min(num_betas or 0, 16)
    assert rows['num_betas'] == [kept] and (rows['betas'][0, kept:] == 0).all()
    if kept:
        np.testing.assert_array_equal(rows['betas'][0, :kept], np.load(path)['betas'][:kept].astype(np.float32))


def test_y_up_turns_the_world_about_its_origin(tmp_path):
    path = _write(tmp_path, fps=30.0)
    rows, _ = _motions(tmp_path, MotionSelection(pelvises=(PELVIS,)))
    with np.load(path) as data:
        trans, root, rest = data['trans'], data['root_orient'], PELVIS.template + PELVIS.directions @ data['betas']
    np.testing.assert_allclose(rows['trans'] + rest, (trans + rest) @ TO_Y_UP.T, atol=1e-6)
    turned = TO_Y_UP @ rotvec_to_rotmat(torch.from_numpy(root)).numpy()
    np.testing.assert_allclose(rotvec_to_rotmat(torch.tensor(rows['root_orient'])).numpy(), turned, atol=1e-6)
    assert rows['up_axis'] == 'y'


def test_what_is_y_up_already_is_not_turned_again(tmp_path):
    path = _write(tmp_path, fps=30.0, changes={'up_axis': np.array('y')})
    rows, manifest = _motions(tmp_path, MotionSelection(pelvises=(PELVIS,)))
    np.testing.assert_array_equal(rows['trans'], np.load(path)['trans'].astype(np.float32))
    # Nothing was said of the made-up motion but its axis: it stands along z, and that is named.
    assert list(manifest['notices']) == ['up axis: the body is along +z throughout', 'up_axis: y already, not turned']
    with pytest.raises(DataError, match=r"up_axis: value: found 'y', expected 'z'"):
        _motions(tmp_path, name='z')


def test_files_that_may_be_y_up_are_asked_about(tmp_path):
    path = _write(tmp_path, fps=30.0, changes={'jts_body': np.zeros((61, 22, 3))})
    with pytest.raises(DataError, match=r'up_axis: missing: found jts_body without up_axis.*source_up_axis y'):
        _motions(tmp_path)
    rows, _ = _motions(tmp_path, MotionSelection(pelvises=(PELVIS,), source_up_axis='y'))
    np.testing.assert_array_equal(rows['trans'], np.load(path)['trans'].astype(np.float32))
    _write(tmp_path, changes={'up_axis': np.array('x')})
    with pytest.raises(DataError, match="up_axis: value: found 'x'"):
        _motions(tmp_path, name='x')


def test_a_skeleton_of_its_own_keeps_its_pelvis_where_it_was(tmp_path):
    rest = np.full((22, 3), 0.5)
    path = _write(tmp_path, fps=30.0, changes={'rest_joints': rest})
    rows, _ = _motions(tmp_path, MotionSelection(pelvises=(PELVIS,)))
    data = np.load(path)
    pelvis = PELVIS.template + PELVIS.directions @ data['betas']
    np.testing.assert_allclose(rows['trans'] + pelvis, (data['trans'] + rest[0]) @ TO_Y_UP.T, atol=1e-6)


def test_bodies_go_by_family_and_gender(tmp_path):
    female = RestPelvis('smplx', 'female', 'another body', PELVIS.template + 1, PELVIS.directions)
    _write(tmp_path, 'a_stageii.npz', gender='female')
    _write(tmp_path, 'b_stageii.npz', gender='male')
    both, manifest = _motions(tmp_path, MotionSelection(min_frames=1, pelvises=(PELVIS, female)), 'both')
    alone, _ = _motions(tmp_path, MotionSelection(min_frames=1, pelvises=(PELVIS,)), 'alone')
    moved = np.abs(both['trans'] - alone['trans']).max(1) > 0.1
    assert moved[:16].all() and not moved[16:].any()
    assert list(manifest['notices']) == ['gender: male betas on a neutral body']
    _write(tmp_path, 'c_poses.npz')
    with pytest.raises(DataError, match='family: no body: found smplh, expected smplx'):
        _motions(tmp_path, MotionSelection(pelvises=(PELVIS,)), 'h')


def test_rates_can_be_overruled_and_doubtful_ones_are_named(tmp_path):
    _write(tmp_path, 'a_stageii.npz', 61, fps=120.0)
    _write(tmp_path, 'b_stageii.npz', 61, fps=120.0, changes={'mocap_time_length': np.array(61 / 60)})
    _write(tmp_path, 'c_stageii.npz', 61, fps=120.0, changes={'trans': lambda a: 1000 * a})
    selection = MotionSelection(min_frames=1, frame_rates={'X/*': 30, 'X/s1/[bc]_*': 60})
    rows, manifest = _motions(tmp_path, selection, 'overruled')
    assert rows['source_fps'].tolist() == [30, 60, 60] and rows['starts'].tolist() == [0, 61, 92, 123]
    assert manifest['notices']['frame rate: from the table of frame rates']['count'] == 3
    _, manifest = _motions(tmp_path)
    assert {reason: entry['files'] for reason, entry in manifest['notices'].items()} == {
        'mocap_time_length: contradicts frame rate and number of frames': ['X/s1/b_stageii.npz'],
        'trans: faster than 12 m/s; is the frame rate right?': ['X/s1/c_stageii.npz']}
    other_order = MotionSelection(min_frames=1, frame_rates={'X/s1/[bc]_*': 60, 'X/*': 30})
    with pytest.raises(ConfigError, match='with other settings: frame_rates was'):  # The last one that fits counts.
        _motions(tmp_path, other_order, 'overruled')
    with pytest.raises(ConfigError, match=r"no file matches 'SSM/\*'; paths are like X/s1/a_stageii\.npz"):
        _motions(tmp_path, MotionSelection(frame_rates={'SSM/*': 60}), 'none')


@pytest.mark.parametrize('changes', [{'trans': None}, {'gender': None}, {'mocap_frame_rate': None},
                                     {'trans': lambda a: a * np.nan}, {'rest_joints': np.zeros((3, 3))}])
def test_what_motions_need(tmp_path, changes):
    _write(tmp_path, changes=changes)
    with pytest.raises(DataError, match=next(iter(changes)).replace('mocap_frame_rate', 'frame rate')):
        _motions(tmp_path, MotionSelection(pelvises=(PELVIS,), min_frames=1))


@pytest.mark.parametrize('options', [dict(fps=0), dict(min_frames=0), dict(max_speed=-1), dict(frame_rates={'*': 0}),
                                     dict(source_up_axis='x')])
def test_wrong_options(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        MotionSelection(**options)


def test_rest_pelvis_of_a_body_file(shared_dir):
    from motionlab.body import load_body
    path = shared_dir / 'reference/vposer/bodies/smplx/SMPLX_NEUTRAL.npz'
    pelvis, body = RestPelvis.from_file(path), load_body(path, dtype=torch.float64)
    betas = np.random.default_rng(1).normal(size=16)
    assert (pelvis.family, pelvis.gender, pelvis.directions.shape) == ('smplx', 'neutral', (3, 16))
    np.testing.assert_allclose(pelvis.of(betas), body.joints(torch.from_numpy(betas)[None])[0, 0], atol=1e-12)
    np.testing.assert_allclose(pelvis.of(np.zeros(0)), pelvis.template)
    assert str(body.description) in MotionSelection(pelvises=(pelvis,)).settings()['pelvises']
