"""MPI-INF-3DHP: MATLAB 5 cells and text calibration for training, HDF5 for testing."""

import json

import numpy as np
import pytest
import torch
from scipy.io import loadmat, savemat

from motionlab.body.cameras import camera_to_world, project
from motionlab.datasets.importers.mpi_inf_3dhp import read_calibration
from motionlab.datasets.lifting_annotation import load_lifting_annotation
from motionlab.datasets.lifting_inputs import LiftingInputs
from motionlab.datasets.pose_lifting_dataset import PoseLiftingDataset
from motionlab.utils import DataError
from tests.test_datasets.import_samples import arrays, camera_around, camera_of, write_3dhp_test, write_3dhp_train
from tests.test_tools import load_tool

tool = load_tool('dataset_converters/mpi_inf_3dhp_to_lifting.py')
TRUTH = LiftingInputs(detected=False)
VALID = [1, 1, 0, 0, 1, 1, 1]
SUBJECTS = ['--train', 'S1', '--test', 'TS2', 'TS5']
TEST_CAMERAS = {'TS2': camera_around(1.0, 2048, 2048, lens=False, focal=1500),
                'TS5': camera_around(2.0, 1920, 1080, lens=False, focal=1300)}


@pytest.fixture(scope='module')
def raw(tmp_path_factory):
    root = tmp_path_factory.mktemp('3dhp')
    worlds = {f'Seq{i}': write_3dhp_train(root / f'train/S1/Seq{i}', seed=i) for i in (1, 2)}
    points = {name: write_3dhp_test(root / 'mpi_inf_3dhp_test_set' / name, VALID, camera)
              for name, camera in TEST_CAMERAS.items()}
    return root, worlds, points


@pytest.fixture(scope='module')
def converted(raw, tmp_path_factory):
    target = tmp_path_factory.mktemp('lifting') / '3dhp'
    assert tool.main([str(raw[0]), str(target), *SUBJECTS]) == 0
    return target


def test_training_set(raw, converted):
    train = arrays(converted / 'train.npz')
    assert train['S'].shape == (2 * 8 * 9, 17, 4)
    annotation = load_lifting_annotation(converted / 'train.npz', inputs=TRUTH)
    assert annotation.fps is None  # 25 and 50 Hz
    assert {clip.name.split('_')[2] for clip in annotation.clips} == {f'Cam{i}' for i in (0, 1, 2, 4, 5, 6, 7, 8)}
    cameras = arrays(converted / 'train_cameras.npz')
    fps = dict(zip(cameras['camera_name'].tolist(), cameras['fps'].tolist()))
    assert fps['S1_Seq1_Cam0'] == 25 and fps['S1_Seq2_Cam8'] == 50
    names = train['imgname'].tolist()
    assert 'S1_Seq2_Cam4_000009.jpg' in names
    for sequence, number in (('Seq1', 0), ('Seq2', 8)):
        rows = [i for i, name in enumerate(names) if name.startswith(f'S1_{sequence}_Cam{number}_')]
        camera = camera_of(converted, 'train', f'S1_{sequence}_Cam{number}')
        points = torch.from_numpy(train['S'][rows, :, :3]).double()
        np.testing.assert_allclose(camera_to_world(points, camera), raw[1][sequence][0], atol=1e-5)
        np.testing.assert_allclose(project(points, camera), train['part'][rows, :, :2], atol=2e-3)
        assert float(camera.w) == 2048
    batch = PoseLiftingDataset(converted / 'train.npz', seq_len=3, keypoints='ground_truth').__getitems__(range(8))
    assert batch['keypoints_valid'].all() and torch.isfinite(batch['target_m']).all()


def test_test_set(raw, converted):
    test = arrays(converted / 'test.npz')
    valid = np.flatnonzero(VALID)
    assert test['imgname'].tolist()[:len(valid)] == [f'TS2_{i + 1:06d}.jpg' for i in valid]
    for first, name in ((0, 'TS2'), (len(valid), 'TS5')):
        rows = slice(first, first + len(valid))
        np.testing.assert_allclose(test['S'][rows, :, :3], raw[2][name][valid], atol=1e-6)
        fitted = camera_of(converted, 'test', name)
        np.testing.assert_allclose(fitted.f, TEST_CAMERAS[name].f, rtol=1e-5)
        np.testing.assert_allclose(fitted.c, TEST_CAMERAS[name].c, rtol=1e-5)
        assert (float(fitted.w), float(fitted.h)) == ((2048, 2048) if name == 'TS2' else (1920, 1080))
    assert not {'R', 'T', 'fps'} & arrays(converted / 'test_cameras.npz').keys()
    annotation = load_lifting_annotation(converted / 'test.npz', inputs=TRUTH)
    assert len(annotation.run_starts) == 4  # Two clips, each with a gap.
    record = json.loads((converted / 'conversion.json').read_text())
    assert record['counts']['frames that valid_frame excludes'] == 4
    assert record['settings']['truth'] == 'annot3'


def test_universal_truth_is_recorded(raw, converted, tmp_path):
    tool.main([str(raw[0]), str(tmp_path), '--truth', 'univ_annot3', *SUBJECTS])
    for split in ('train', 'test'):
        metric, universal = arrays(converted / f'{split}.npz'), arrays(tmp_path / f'{split}.npz')
        np.testing.assert_allclose(universal['S'][..., :3], 0.9 * metric['S'][..., :3], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(universal['part'], metric['part'])
    assert json.loads((tmp_path / 'conversion.json').read_text())['settings']['truth'] == 'univ_annot3'


def test_joints_outside_the_image_are_invisible_and_counted(tmp_path):
    camera = camera_around(1.0, 2048, 2048, lens=False, focal=4500)  # Feet and head do not fit.
    points = write_3dhp_test(tmp_path / 'TS1', [1] * 4, camera)
    tool.main([str(tmp_path), str(tmp_path / 'out'), '--train', '--test', 'TS1'])
    test = arrays(tmp_path / 'out/test.npz')
    pixels = project(torch.from_numpy(points), camera).numpy()
    inside = ((pixels >= 0) & (pixels <= 2047)).all(-1)
    assert not inside.all() and inside.any()
    np.testing.assert_array_equal(test['part'][..., 2] == 1, inside)
    assert (test['S'][..., 3] == 1).all()
    record = json.loads((tmp_path / 'out/conversion.json').read_text())
    assert record['counts']['joints outside the image, marked invisible'] == (~inside).sum()


def test_malformed_files_are_named(raw, tmp_path):
    write_3dhp_train(tmp_path / 'S1/Seq1', lengths={4: 5})
    command = [str(tmp_path), str(tmp_path / 'out'), '--train', 'S1', '--test']
    with pytest.raises(DataError, match=r'annot.mat: annot2\{4\}: found 5 frames, expected 9, as in annot3'):
        tool.main(command)
    tool.main([*command, '--on-error', 'skip'])
    record = json.loads((tmp_path / 'out/conversion.json').read_text())
    assert list(record['skipped']) == ['S1_Seq1_Cam4'] and record['splits']['train']['clips'] == 7
    content = {key: value for key, value in loadmat(tmp_path / 'S1/Seq1/annot.mat').items() if not key.startswith('_')}
    savemat(tmp_path / 'S1/Seq1/annot.mat', {key: content[key] for key in ('annot2', 'univ_annot3')})
    with pytest.raises(DataError, match='key annot3: found only'):
        tool.main(command)
    (tmp_path / 'S1/Seq1/annot.mat').write_bytes(b'nonsense' * 100)
    with pytest.raises(DataError, match='MATLAB 5'):
        tool.main(command)
    write_3dhp_test(tmp_path / 'TS1', [1] * 4, TEST_CAMERAS['TS2'])
    import h5py
    with h5py.File(tmp_path / 'TS1/annot_data.mat', 'a') as file:
        del file['valid_frame']
        file['valid_frame'] = np.ones((5, 1))
    with pytest.raises(DataError, match=r'key annot2: found shape \(4, 1, 17, 2\), expected \(5, 1, 17, 2\)'):
        tool.main([str(tmp_path), str(tmp_path / 'out'), '--train', '--test', 'TS1'])
    with pytest.raises(DataError, match=r'TS3/annot_data.mat.*nothing'):
        tool.main([str(raw[0]), str(tmp_path / 'out'), '--train', '--test', 'TS3'])


def test_calibration_errors_name_the_line(raw, tmp_path):
    text = (raw[0] / 'train/S1/Seq1/camera.calibration').read_text()
    cases = {'extrinsic   ': ('extrinsic   1 ', r'line 7: .*extrinsic and 16 numbers'),
             '  size        2048 2048\n': ('', r"camera 0: found only .*also \['size'\]"),
             'Skeletool': ('Other', 'line 1')}
    for old, (new, named) in cases.items():
        (tmp_path / 'camera.calibration').write_text(text.replace(old, new, 1))
        with pytest.raises(DataError, match=named):
            read_calibration(tmp_path / 'camera.calibration')
