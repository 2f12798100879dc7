"""Pickled cameras of mmpose and AugLift: both conventions end as camera to world; annotations use them as they are."""

import numpy as np
import pytest

from motionlab.datasets.lifting_annotation import load_cameras, load_lifting_annotation
from motionlab.utils import DataError
from tests.synthetic import write_lifting_annotation
from tests.test_datasets.import_samples import camera_around, camera_pickle, film, world_joints, write_pickle


def _world_to_camera_entry(camera):
    """As MPI-INF-3DHP's: X_c = R X_w + T, no distortion."""
    R = camera.R.numpy().T
    return {'R': R, 'T': -R @ camera.T.numpy(), 'f': camera.f.numpy()[:, None], 'c': camera.c.numpy()[:, None],
            'w': 2048, 'h': 2048, 'name': 'anything'}


def test_both_conventions_become_camera_to_world(tmp_path):
    camera, world = camera_around(0.7, 2048, 2048, lens=False, focal=1497), world_joints(5)
    points, _ = film(world, camera)
    entry = _world_to_camera_entry(camera)
    np.testing.assert_allclose(world @ entry['R'].T + entry['T'][:, 0], points)  # What the file says.
    of_3dhp = load_cameras(write_pickle(tmp_path / 'a.pkl', {'S1_Seq2_Cam8': entry}))
    of_h36m = load_cameras(write_pickle(tmp_path / 'b.pkl', camera_pickle({('S1', '54138969'): camera})))
    assert of_3dhp['camera_name'].tolist() == ['S1_Seq2_Cam8'] and of_h36m['camera_name'].tolist() == ['S1_54138969']
    assert of_3dhp.keys() == set('RTfcwh') | {'camera_name'}
    for found in (of_3dhp, of_h36m):
        np.testing.assert_allclose(points @ found['R'][0].T + found['T'][0, :, 0], world, atol=1e-9)


@pytest.mark.parametrize(('names', 'key'), [('S1_Seq1_Cam0_{:06d}.jpg', 'S1_Seq1_Cam0'), ('TS1_{:06d}.jpg', 'TS1'),
                                            ('S9_Eating_2_60457274_img_{:06d}.jpg', ('S9', '60457274'))])
def test_an_annotation_finds_its_cameras(tmp_path, names, key):
    path = write_lifting_annotation(tmp_path, clips=1, frames=9, imgname=np.array([names.format(i) for i in range(9)]))
    held = np.load(tmp_path / 'train_cameras.npz')
    keys = 'fcwh' if key == 'TS1' else 'RTfckpwh'
    entry = {name: held[name][0] for name in keys}
    if isinstance(key, str) and 'R' in entry:
        entry['R'], entry['T'] = entry['R'].T, -entry['R'].T @ entry['T']
    cameras = write_pickle(tmp_path / 'cameras.pkl', {key: entry})
    annotation = load_lifting_annotation(path, cameras)
    np.testing.assert_array_equal(annotation.image_size_px, [[1000, 1000]])
    if 'R' in entry:
        np.testing.assert_allclose(load_cameras(cameras)['R'], held['R'], atol=1e-6)
        np.testing.assert_allclose(load_cameras(cameras)['T'], held['T'], atol=1e-6)
    entry['h'] = 204.0  # As in mmpose's fixture of MPI-INF-3DHP.
    with pytest.raises(DataError, match=r'camera \w+: found height h 204 px'):
        load_lifting_annotation(path, write_pickle(cameras, {key: entry}))


@pytest.mark.parametrize(('content', 'message'), [
    ([1, 2], 'found a list'), ({}, 'found an empty dictionary'),
    ({('S1', '1'): 3}, r"camera \('S1', '1'\): found a int"),
    ({5: {'w': 1, 'h': 1}}, 'camera 5'), ({'TS1': {'w': 1}}, 'key h'),
    ({'TS1': {'w': 1, 'h': 1, 'f': [1, 2, 3]}}, 'camera TS1: found cannot reshape'),
    ({'TS1': {'w': 1, 'h': 1}, 'TS2': {'w': 1}}, r"camera TS2: found only \['w'\], expected also \['h'\]"),
])
def test_malformed_pickles_are_named(tmp_path, content, message):
    with pytest.raises(DataError, match=message) as error:
        load_cameras(write_pickle(tmp_path / 'cameras.pkl', content))
    assert 'cameras.pkl' in str(error.value)
