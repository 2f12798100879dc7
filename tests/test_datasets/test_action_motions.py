import numpy as np
import pytest
import torch
from rich.console import Console

from motionlab.body.rotations import rotvec_to_rotmat
from motionlab.datasets.action_motions import ActionPreparation, prepare_actions, read_smpl_file
from motionlab.datasets.motion_store import open_motion_store
from motionlab.datasets.motion_window_dataset import MotionWindowDataset
from motionlab.utils import ConfigError, DataError


def write_smpl(path, num_frames=40, *, fps=30.0, num_betas=10, seed=0, changes=None):
    """One .smpl file; a body that sways, Y up."""
    rng = np.random.default_rng(seed)
    time = np.arange(num_frames) / fps
    arrays = {'bodyPose': (0.3 * np.sin(2 * np.pi * rng.uniform(0.2, 1, (22, 3)) * time[:, None, None])
                           * rng.normal(0, 1, (22, 3))).astype(np.float32),
              'bodyTranslation': (time[:, None] * [1.0, 0, 0.2] + [0, 1.25, 0]).astype(np.float32),
              'shapeParameters': rng.normal(0, 1, num_betas).astype(np.float32), 'frameRate': np.array(fps),
              'frameCount': np.array(num_frames)}
    for key, value in (changes or {}).items():
        if value is None:
            del arrays[key]
        else:
            arrays[key] = value(arrays[key]) if callable(value) else value
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('wb') as file:
        np.savez_compressed(file, **arrays)
    return path


def write_folder(folder):
    for seed, name in enumerate(['run_0', 'kick_0', 'kick_1', 'run_1', 'walk-slow_0', 'walk_0', 'walk_1', 'walk_10']):
        write_smpl(folder / f'{name}.smpl', 40 + seed, seed=seed)
    return folder


def prepare(folder, target, **options):
    return prepare_actions(ActionPreparation(folder, target, **options), Console(quiet=True))


def test_pieces_and_classes(tmp_path):
    folder = write_folder(tmp_path / 'actions')
    result = prepare(folder, tmp_path / 'out', vald_share=0.0)
    store = open_motion_store(result.files['train'])
    assert list(result.files) == ['train'] and set(store.lengths) == {16}
    assert store.action_names == ('kick', 'run', 'walk-slow', 'walk') and store.fps == 30
    assert [str(name) for name in dict.fromkeys(store.files)] == sorted(path.name for path in folder.iterdir())
    assert [store.action_names[index] for index in store.actions] == [name.split('_')[0] for name in store.files]
    with np.load(folder / 'kick_1.smpl') as data:
        pose = data['bodyPose'].reshape(-1, 66)
        rows = store.take(np.arange(32, 64))  # kick_1 is the second file; 2 pieces each.
        np.testing.assert_array_equal(rows['trans'], data['bodyTranslation'][:32])
        np.testing.assert_allclose(rows['root_orient'], pose[:32, :3])
        np.testing.assert_allclose(rows['pose_body'], pose[:32, 3:])
        np.testing.assert_array_equal(store.betas[2], np.pad(data['shapeParameters'], (0, 6)))
    row, = result.manifest['table']
    assert (row['found'], row['used'], row['frames_seen']) == (8, 8, 8 * 40 + 28)
    assert row['frames_kept'] == len(store.files) * 16 == result.manifest['outputs']['train.npz']['rows']
    assert result.manifest['notices']['frames: the last ones do not fill a piece']['count'] == 8
    assert result.manifest['notices']['betas: 10, padded to 16']['count'] == 8
    batch = MotionWindowDataset('train.npz', tmp_path / 'out').__getitems__([0, 15])
    assert batch['action'].tolist() == [0, 3]
    whole, = prepare(folder, tmp_path / 'whole', vald_share=0.0, piece_frames=0).manifest['table']
    assert whole['frames_kept'] == whole['frames_seen']


@pytest.mark.parametrize(('fps', 'frames', 'interpolated'), [(15.0, 41, True), (60.0, 41, False), (29.97, 41, False),
                                                             (25.0, 41, True)])
def test_other_rates_keep_their_speed(fps, frames, interpolated, tmp_path):
    path = write_smpl(tmp_path / 'in/run_0.smpl', frames, fps=fps, num_betas=300)
    result = prepare(tmp_path / 'in', tmp_path / 'out', vald_share=0.0)
    store = open_motion_store(result.files['train'])
    moved = store.take(np.arange(16))
    speed = np.diff(moved['trans'][:, 0]) * 30
    np.testing.assert_allclose(speed, 1.0, rtol=2e-3)
    assert any('interpolated' in notice for notice in result.manifest['notices']) == interpolated
    assert 'betas: 300, cut to 16' in result.manifest['notices']
    if fps == 15.0:  # Every other frame is one of the file's.
        pose = torch.from_numpy(np.load(path)['bodyPose'][:8])
        ours = torch.from_numpy(np.concatenate([moved['root_orient'], moved['pose_body']], axis=1)[::2])
        ours = ours.unflatten(1, (22, 3))
        torch.testing.assert_close(rotvec_to_rotmat(ours), rotvec_to_rotmat(pose), atol=1e-5, rtol=0)


def test_some_files_of_every_action_are_held_out(tmp_path):
    folder = write_folder(tmp_path / 'actions')
    result = prepare(folder, tmp_path / 'out', vald_share=0.4)
    train, vald = (open_motion_store(result.files[split]) for split in ('train', 'vald'))
    assert not set(train.files) & set(vald.files)
    assert set(train.files) | set(vald.files) == {path.name for path in folder.iterdir()}
    assert set(train.actions) == {0, 1, 2, 3} and set(vald.actions) == {0, 1, 3}
    assert train.action_names == vald.action_names
    with pytest.raises(DataError, match=r'split vald: found no file at vald_share=0\.1 of 8 files.*--vald-share'):
        prepare(folder, tmp_path / 'none')


def test_a_complete_preparation_is_left_alone_and_another_refused(tmp_path):
    folder, out = write_folder(tmp_path / 'actions'), tmp_path / 'out'
    first = prepare(folder, out, vald_share=0.4)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert set(before) == {'train.npz', 'vald.npz', 'manifest.json'} and not first.reused
    assert prepare(folder, out, vald_share=0.4).reused
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    with pytest.raises(ConfigError, match='piece_frames was 16, is 20'):
        prepare(folder, out, vald_share=0.4, piece_frames=20)
    write_smpl(folder / 'jump_0.smpl')
    with pytest.raises(ConfigError, match='other files'):
        prepare(folder, out, vald_share=0.4)
    assert not prepare(folder, out, vald_share=0.4, overwrite=True).reused


MALFORMED = [
    ({'bodyPose': None}, 'bodyPose: missing'), ({'frameRate': None}, 'frameRate: missing'),
    ({'bodyPose': lambda a: a[:, :21]}, r'bodyPose: shape: found \(40, 21, 3\), expected \(40, 22, 3\)'),
    ({'bodyTranslation': lambda a: a[1:]}, r'bodyTranslation: shape: found \(39, 3\), expected \(40, 3\)'),
    ({'bodyPose': lambda a: a * np.nan}, 'bodyPose: not finite'), ({'frameCount': np.array(39)}, 'frameCount: value'),
    ({'frameRate': np.array(0)}, 'frameRate: value'),
    ({'shapeParameters': np.zeros((2, 10))}, 'shapeParameters: shape'),
]


@pytest.mark.parametrize(('changes', 'message'), MALFORMED)
def test_malformed_files_are_named_or_counted(changes, message, tmp_path):
    write_smpl(tmp_path / 'in/run_0.smpl')
    write_smpl(tmp_path / 'in/run_1.smpl', changes=changes)
    with pytest.raises(DataError, match=rf'run_1\.smpl: {message}'):
        prepare(tmp_path / 'in', tmp_path / 'out', vald_share=0.0)
    manifest = prepare(tmp_path / 'in', tmp_path / 'out', vald_share=0.0, on_error='skip').manifest
    (reason, entry), = manifest['skipped'].items()
    assert reason in message.replace('\\', '') and entry['files'] == ['run_1.smpl']
    assert (manifest['table'][0]['used'], manifest['table'][0]['skipped']) == (1, 1)
    with pytest.raises(DataError, match=r'run_1\.smpl.*1 such files left out'):
        prepare(tmp_path / 'in', tmp_path / 'out', vald_share=0.0)


def test_names_folders_and_options(tmp_path):
    with pytest.raises(DataError, match='no folder at this path'):
        prepare(tmp_path / 'in', tmp_path / 'out')
    write_smpl(tmp_path / 'in/run.smpl')
    with pytest.raises(DataError, match=r'run\.smpl: name: found run\.smpl, expected <action>_<index>\.smpl'):
        prepare(tmp_path / 'in', tmp_path / 'out')
    (tmp_path / 'in/run.smpl').unlink()
    write_smpl(tmp_path / 'in/run_0.smpl', 10)
    with pytest.raises(DataError, match='split train: found no sequence of 16 frames in 1 files'):
        prepare(tmp_path / 'in', tmp_path / 'out', vald_share=0.0)
    (tmp_path / 'in/run_0.smpl').write_bytes(b'nothing')
    with pytest.raises(DataError, match=r'run_0\.smpl: archive'):
        read_smpl_file(tmp_path / 'in/run_0.smpl')
    for options in (dict(fps=0), dict(piece_frames=-1), dict(vald_share=1.0), dict(on_error='stop')):
        with pytest.raises(ConfigError, match=next(iter(options))):
            prepare(tmp_path / 'in', tmp_path / 'out', **options)
