import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from motionlab.datasets import motion_store
from motionlab.datasets.motion_store import mean_up, open_motion_store
from motionlab.utils import DataError
from tests.motion_stores import write_motion_store


def _roots(matrix, wobble=0.2):
    """All roots turned by a rotation, on top of a little motion."""
    def turned(old):
        return (Rotation.from_matrix(matrix) * Rotation.from_rotvec(wobble * old)).as_rotvec().astype(np.float32)
    return turned


Z_UP = Rotation.from_euler('x', 90, degrees=True).as_matrix()
UPSIDE_DOWN = Rotation.from_euler('x', 180, degrees=True).as_matrix()


def test_sequences_and_facts(tmp_path):
    store = open_motion_store(write_motion_store(tmp_path / 'train.npz', (16, 40), actions=(1, 0)))
    assert store.lengths.tolist() == [16, 40] and store.fps == 30.0 and store.files[1] == 'X/s/01_stageii.npz'
    assert store.actions.tolist() == [1, 0] and store.action_names == ('a', 'b')
    taken = store.take(np.array([[3, 2], [50, 55]]))
    assert {key: value.shape for key, value in taken.items()} == {
        'trans': (2, 2, 3), 'root_orient': (2, 2, 3), 'pose_body': (2, 2, 63)}
    assert taken['trans'][..., 0].tolist() == [[3, 2], [50, 55]]
    base = store.frames['pose_body']
    while not isinstance(base, np.memmap):
        base = base.base
        assert base is not None


@pytest.mark.parametrize(('changes', 'message'), [
    ({'trans': None}, 'key trans: found only'), ({'up_axis': None}, 'key up_axis: found only'),
    ({'trans': lambda a: a[:-1]}, r'root_orient: found float32 of shape \(81, 3\), expected float32 of shape \(80'),
    ({'pose_body': lambda a: a.astype(np.float64)}, 'pose_body: found float64'),
    ({'pose_body': lambda a: a[:, :60]}, r'pose_body: found float32 of shape \(81, 60\)'),
    ({'betas': lambda a: a[:, :10]}, r'betas: found float32 of shape \(3, 10\), expected float32 of shape \(3, 16\)'),
    ({'betas': lambda a: a * np.array([[1], [np.nan], [1]], np.float32)}, r'betas row 1: found NaN.*X/s/01_'),
    ({'starts': np.array([0, 40, 16, 81])}, 'starts: found'), ({'starts': np.array([0, 16, 56, 80])}, 'starts: found'),
    ({'files': lambda a: a[:2]}, 'files: found'), ({'fps': np.array(0.0)}, 'fps: found 0.0'),
    ({'up_axis': np.array('z')}, r"up_axis: found 'z', expected 'y'.*--body FILE"),
    ({'action': np.array([0, 1, 1])}, 'key action_names'),
    ({'action': np.array([0, 1, 2]), 'action_names': np.array(['a', 'b'])}, 'action: found 0 to 2, expected 0 to 1'),
])
def test_files_that_are_none(changes, message, tmp_path):
    path = write_motion_store(tmp_path / 'train.npz', changes=changes)
    with pytest.raises(DataError, match=message) as raised:
        open_motion_store(path)
    assert 'train.npz' in str(raised.value)


def test_a_missing_file_is_named_and_how_to_make_it(tmp_path):
    with pytest.raises(DataError, match=r'nowhere\.npz.*prepare_amass\.py AMASS_ROOT .* --selection motions --body'):
        open_motion_store(tmp_path / 'nowhere.npz')


@pytest.mark.parametrize(('matrix', 'words'), [(Z_UP, r'along \+z'), (Z_UP.T, 'along -z'), (UPSIDE_DOWN, 'along -y')])
def test_motions_whose_bodies_stand_along_another_axis_are_refused(matrix, words, tmp_path):
    path = write_motion_store(tmp_path / 'train.npz', changes={'root_orient': _roots(matrix)})
    with pytest.raises(DataError, match=rf'up axis of X: found bodies that stand {words}.*--source-up-axis z'):
        open_motion_store(path)


def test_one_data_set_of_several_is_enough_to_refuse(tmp_path):
    def mixed(old):
        return np.concatenate([old[:56], _roots(Z_UP)(old[56:])])
    path = write_motion_store(tmp_path / 'train.npz', changes={'root_orient': mixed,
                                                               'datasets': np.array(['X', 'X', 'Raw'])})
    with pytest.raises(DataError, match='up axis of Raw'):
        open_motion_store(path)


def test_lying_motions_among_others_are_named_and_taken(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(motion_store, 'print_log', lambda text, *_: said.append(text))

    def mixed(old):
        return np.concatenate([old[:56], _roots(Z_UP)(old[56:])])
    store = open_motion_store(write_motion_store(tmp_path / 'train.npz', changes={'root_orient': mixed}))
    ups = mean_up(store)
    assert (ups[:2, 1] > 0.9).all() and ups[2, 2] > 0.9
    assert len(said) == 1
    assert 'in 1 of 3 sequences the body lies along x or z throughout (X/s/02_stageii.npz)' in said[0]


def test_numbers_that_are_not_finite_are_named_when_they_are_read(tmp_path):
    def broken(old):
        old[20, 5] = np.inf
        return old
    store = open_motion_store(write_motion_store(tmp_path / 'train.npz', changes={'pose_body': broken}))
    store.take(np.arange(16))
    with pytest.raises(DataError, match=r'pose_body row 20: found NaN or infinity in frame 4 of X/s/01_stageii\.npz'):
        store.take(np.arange(16, 32)[None])


def test_bodies_of_the_preparation_are_known(tmp_path):
    path = write_motion_store(tmp_path / 'train.npz')
    assert open_motion_store(path).bodies == ()
    told = {key: {} for key in ('format', 'config_sha256', 'inputs', 'table', 'skipped', 'notices')}
    told |= {'config': {'pelvises': ['smplx neutral (abc)']}, 'outputs': {'train.npz': {}}}
    (tmp_path / 'manifest.json').write_text(json.dumps(told))
    assert open_motion_store(path).bodies == ('smplx neutral (abc)',)
    assert open_motion_store(write_motion_store(tmp_path / 'foreign.npz')).bodies == ()
