"""Z-up motions turned Y-up, against a formula and against posed bodies."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from motionlab.body import load_body
from motionlab.datasets.amass import AmassPreparation, prepare_amass, run
from motionlab.datasets.amass.motions import MotionSelection, RestPelvis
from motionlab.datasets.motion_store import open_motion_store
from motionlab.datasets.motion_window_dataset import MotionWindowDataset
from motionlab.datasets.store import open_npz
from motionlab.utils import DataError
from tests.amass_tree import write_motion

Q = np.array([[1., 0, 0], [0, 0, -1], [0, 1, 0]])
NAMES = [f'{index:02d}' for index in range(5)]


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_primal_11_y_up(small_body_file, tmp_path, monkeypatch):
    """Z-up -> Y-up matches golden; not in place; atomic; idempotent by an explicit marker; resumable; Z-up input to
    training detected."""
    root, body = tmp_path / 'amass', load_body(small_body_file, dtype=torch.float64)
    for name in NAMES:
        write_motion(root / f'X/s/{name}_stageii.npz', 20, fps=30.0)
    before = {path.name: path.read_bytes() for path in (root / 'X/s').iterdir()}
    selection = MotionSelection(pelvises=(RestPelvis.from_file(small_body_file),))

    def prepare(source, target, selection=selection):
        return prepare_amass(AmassPreparation(source, target, {'train': ['X']}, selection))

    # Killed on the way: no file under its name; the next run goes on and reads nothing twice.
    extract, done = run.extract_rows, []

    def killed(task):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(task.scanned.file.relative)
        return extract(task)

    monkeypatch.setattr(run, 'extract_rows', killed)
    with pytest.raises(KeyboardInterrupt):
        prepare(root, tmp_path / 'out')
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['.shards']
    monkeypatch.setattr(run, 'extract_rows', extract)
    select, read = MotionSelection.select, []
    monkeypatch.setattr(MotionSelection, 'select', lambda self, archive, header, relative, frames: (
        read.append(relative), select(self, archive, header, relative, frames))[1])
    result = prepare(root, tmp_path / 'out')
    assert read == [f'X/s/{name}_stageii.npz' for name in NAMES[3:]]
    prepare(root, tmp_path / 'whole')
    assert contents(tmp_path / 'out') == contents(tmp_path / 'whole')

    # The inputs are as they were.
    assert {path.name: path.read_bytes() for path in (root / 'X/s').iterdir()} == before

    # root' = Q^T root, trans' = Q^T (trans + d) - d; the joints of the posed body are (x, z, -y) of the old ones.
    store = open_motion_store(result.files['train'])
    for index, name in enumerate(NAMES):
        ours = store.take(np.arange(*store.starts[index:index + 2]))
        with np.load(root / f'X/s/{name}_stageii.npz') as data:
            old = {key: data[key] for key in ('root_orient', 'trans', 'pose_body', 'betas')}
        betas = torch.from_numpy(np.pad(old['betas'], (0, body.num_betas - 16)))[None]
        rest = body.joints(betas)[0, 0].numpy()
        turned = Rotation.from_matrix(Q.T) * Rotation.from_rotvec(old['root_orient'])
        np.testing.assert_allclose(Rotation.from_rotvec(ours['root_orient']).as_matrix(), turned.as_matrix(), atol=1e-6)
        np.testing.assert_allclose(ours['trans'], (old['trans'] + rest) @ Q - rest, atol=1e-6)
        np.testing.assert_array_equal(ours['pose_body'], old['pose_body'].astype(np.float32))
        before_turn, turned = (body.joints(betas, *(torch.from_numpy(np.asarray(motion[key], np.float64)) for key in (
            'root_orient', 'pose_body', 'trans')))[:, :22].numpy() for motion in (old, ours))
        np.testing.assert_allclose(turned, before_turn[..., [0, 2, 1]] * [1, 1, -1], atol=2e-6)
        assert turned[..., 1].mean() > 0.5

    # Once more changes nothing: neither the same command, nor files that say they are Y-up.
    assert prepare(root, tmp_path / 'out').reused
    for index, name in enumerate(NAMES):
        rows = store.take(np.arange(*store.starts[index:index + 2]))
        write_motion(tmp_path / f'turned/X/s/{name}_stageii.npz', 20, fps=30.0, changes={
            **rows, 'poses': None, 'betas': store.betas[index], 'up_axis': np.array('y'),
            **dict.fromkeys(('pose_jaw', 'pose_eye', 'pose_hand'))})
    again = open_npz(prepare(tmp_path / 'turned', tmp_path / 'again').files['train'])
    for key in ('root_orient', 'pose_body', 'trans'):
        np.testing.assert_array_equal(again[key], open_npz(result.files['train'])[key])

    # Z-up motions do not get into training: neither those that say so, nor those that claim otherwise.
    prepare(root, tmp_path / 'z', MotionSelection())
    with pytest.raises(DataError, match=r"up_axis: found 'z', expected 'y'"):
        MotionWindowDataset('train.npz', tmp_path / 'z')
    lying = MotionSelection(pelvises=selection.pelvises, source_up_axis='y')
    claimed = prepare(root, tmp_path / 'claimed', lying)
    assert claimed.manifest['notices']['up axis: the body is along +z throughout']['count'] == len(NAMES)
    with pytest.raises(DataError, match=r'up axis of X: found bodies that stand along \+z on average'):
        MotionWindowDataset('train.npz', tmp_path / 'claimed')
