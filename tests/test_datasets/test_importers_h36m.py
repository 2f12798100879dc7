"""Human3.6M's CDF files, and its cameras from metadata.xml, mmpose's pickle and our npz."""

import json
import pickle

import numpy as np
import pytest
import torch

from motionlab.body.cameras import camera_to_world, project
from motionlab.datasets.importers.h36m_cameras import load_h36m_cameras
from motionlab.datasets.lifting_annotation import load_lifting_annotation
from motionlab.datasets.lifting_inputs import LiftingInputs
from motionlab.datasets.pose_lifting_dataset import PoseLiftingDataset
from motionlab.utils import DataError
from tests.test_datasets.import_samples import (
    arrays,
    camera_of,
    camera_pickle,
    h36m_cameras,
    write_h36m,
    write_h36m_clip,
    write_metadata,
    write_pickle,
)
from tests.test_tools import load_tool

tool = load_tool('dataset_converters/h36m_to_lifting.py')
TRUTH = LiftingInputs(detected=False)
TAKES = {'S1': ['Directions 1', 'TakingPhoto'], 'S9': ['WalkingDog 1'], 'S11': ['Directions', 'Directions 1']}
SUBJECTS = ['--train', 'S1', '--test', 'S9', 'S11']


@pytest.fixture(scope='module')
def raw(tmp_path_factory):
    root = tmp_path_factory.mktemp('h36m')
    metadata, worlds = write_h36m(root, TAKES)
    write_h36m_clip(root, 'S9', '_ALL.54138969', np.zeros((2, 17, 3)), np.zeros((2, 17, 2)))
    return root, metadata, worlds


@pytest.fixture(scope='module')
def converted(raw, tmp_path_factory):
    target = tmp_path_factory.mktemp('lifting') / 'h36m'
    assert tool.main([str(raw[0]), str(target), '--cameras', str(raw[1]), *SUBJECTS]) == 0
    return target


def test_numbers_names_and_cameras(raw, converted):
    train = arrays(converted / 'train.npz')
    assert train['S'].shape == (2 * 4 * 12, 17, 4) and train['part'].shape == (96, 17, 3)
    annotation = load_lifting_annotation(converted / 'train.npz', inputs=TRUTH)
    assert annotation.fps == 50 and len(annotation.clips) == 8 and not annotation.counts
    assert {clip.action for clip in annotation.clips} == {'Directions', 'Photo'}
    names = train['imgname'].tolist()
    assert 'S1_Directions_1.54138969_000001.jpg' in names and 'S1_Photo.60457274_000012.jpg' in names
    for take, clip in (('S1 Directions 1', 'S1_Directions_1'), ('S1 TakingPhoto', 'S1_Photo')):
        for name in ('54138969', '58860488'):
            rows = [i for i, text in enumerate(names) if text.startswith(f'{clip}.{name}')]
            camera = camera_of(converted, 'train', f'S1_{name}')
            points = torch.from_numpy(train['S'][rows, :, :3]).double()
            np.testing.assert_allclose(camera_to_world(points, camera), raw[2][take], atol=1e-5)
            np.testing.assert_allclose(project(points, camera), train['part'][rows, :, :2], atol=1e-3)
            assert (train['part'][rows, :, 2] == 1).all() and (train['S'][rows, :, 3] == 1).all()
    low, high = train['part'][..., :2].min(1), train['part'][..., :2].max(1)
    np.testing.assert_allclose(train['center'], (low + high) / 2, atol=1e-3)
    np.testing.assert_allclose(train['scale'], 1.2 * (high - low).max(1) / 200, rtol=1e-5)
    cameras = arrays(converted / 'train_cameras.npz')
    sizes = dict(zip(cameras['camera_name'].tolist(), cameras['h'].tolist()))
    assert sizes == {'S1_54138969': 1002, 'S1_55011271': 1000, 'S1_58860488': 1000, 'S1_60457274': 1002}


def test_corrupt_take_is_left_out_and_counted(raw, converted, tmp_path):
    test = load_lifting_annotation(converted / 'test.npz', inputs=TRUTH)
    assert {clip.name.split('.')[0] for clip in test.clips} == {'S9_WalkDog_1', 'S11_Directions_1'}
    record = json.loads((converted / 'conversion.json').read_text())
    assert record['counts']['corrupt clips of S11 Directions'] == 4
    assert record['counts']['CDF files _ALL, which repeat the others'] == 1
    assert record['splits']['test']['rows'] == 96 and record['splits']['test']['reprojection_px'] < 1e-2
    tool.main([str(raw[0]), str(tmp_path), '--cameras', str(raw[1]), '--keep-corrupt', '--test', 'S11', '--train'])
    assert len(load_lifting_annotation(tmp_path / 'test.npz', inputs=TRUTH).clips) == 8
    assert not (tmp_path / 'train.npz').exists()


def test_half_rate_keeps_the_numbers_of_the_video(raw, converted, tmp_path):
    tool.main([str(raw[0]), str(tmp_path), '--cameras', str(raw[1]), '--frame-step', '2', *SUBJECTS])
    full, half = arrays(converted / 'train.npz'), arrays(tmp_path / 'train.npz')
    np.testing.assert_array_equal(half['S'], full['S'][::2])
    assert half['imgname'][:2].tolist() == [full['imgname'][0], full['imgname'][2]]
    annotation = load_lifting_annotation(tmp_path / 'train.npz', inputs=TRUTH)
    assert annotation.fps == 25 and len(annotation.run_starts) == 8


def test_batches_for_training(converted):
    dataset = PoseLiftingDataset(converted / 'train.npz', seq_len=5, keypoints='ground_truth')
    batch = dataset.__getitems__(range(16))
    assert batch['keypoints_px'].shape == (16, 5, 17, 2) and batch['keypoints_valid'].all()
    assert batch['target_m'].shape == (16, 1, 17, 3) and torch.isfinite(batch['target_m']).all()


@pytest.mark.parametrize('kind', ['pickle', 'npz'])
def test_camera_files_of_other_formats_are_the_same(raw, converted, tmp_path, kind):
    cameras = h36m_cameras(['S1', 'S9', 'S11'])
    if kind == 'pickle':
        path = write_pickle(tmp_path / 'cameras.pkl', camera_pickle(cameras))
    else:
        stacked = {key: np.stack([getattr(camera, key).numpy() for camera in cameras.values()]) for key in 'RTfckpwh'}
        path = tmp_path / 'cameras.npz'
        np.savez(path, camera_name=np.array(['_'.join(key) for key in cameras]), **stacked)
    found, expected = load_h36m_cameras(path), load_h36m_cameras(raw[1])
    for key, camera in found.items():
        for name in 'RTfckpwh':
            np.testing.assert_allclose(getattr(camera, name), getattr(cameras[key], name), atol=1e-9)
            if key in expected:  # Every subject of the metadata has the lens of the first.
                np.testing.assert_allclose(getattr(expected[key], name), getattr(cameras[key], name), atol=1e-8)


def test_wrong_camera_files_are_named(tmp_path):
    cameras = camera_pickle(h36m_cameras(['S1']))
    cameras['S1', '54138969']['h'] = 204
    with pytest.raises(DataError, match=r'w, h of S1 54138969.*204.*1002'):
        load_h36m_cameras(write_pickle(tmp_path / 'a.pkl', cameras))
    del cameras['S1', '54138969']['k']
    with pytest.raises(DataError, match=r"camera \('S1', '54138969'\).*also \['k'\]"):
        load_h36m_cameras(write_pickle(tmp_path / 'b.pkl', cameras))
    path = write_metadata(tmp_path / 'metadata.xml', h36m_cameras(['S1']))
    path.write_text(path.read_text().replace('<w0>[', '<w0>[1 '))
    with pytest.raises(DataError, match='w0: found 301 numbers, expected 300'):
        load_h36m_cameras(path)

    class Shell:
        def __reduce__(self):
            return print, ('this must not run',)

    (tmp_path / 'evil.pkl').write_bytes(pickle.dumps({('S1', '54138969'): Shell()}))
    with pytest.raises(DataError, match=r'builtins\.print is asked for'):
        load_h36m_cameras(tmp_path / 'evil.pkl')


def test_malformed_clips_are_errors_or_counted(tmp_path, capsys):
    metadata, _ = write_h36m(tmp_path, {'S1': ['Walking']}, frames=6)
    folder = tmp_path / 'S1' / 'MyPoseFeatures'
    from tests.test_datasets.import_samples import write_cdf
    bad = np.zeros((6, 96))
    bad[3, 3 * 17] = np.nan  # Joint 17 of 32 is the left shoulder.
    write_cdf(folder / 'D3_Positions_mono' / 'Walking.54138969.cdf', bad)
    write_cdf(folder / 'D2_Positions' / 'Walking.55011271.cdf', np.zeros((5, 64)))
    (folder / 'D2_Positions' / 'Walking.58860488.cdf').write_bytes(b'no such format')
    command = [str(tmp_path), str(tmp_path / 'out'), '--cameras', str(metadata), '--train', 'S1', '--test']
    with pytest.raises(DataError, match=r'Walking.54138969.cdf: 3D joints.*frame 4, left_shoulder.*nan'):
        tool.main(command)
    assert tool.main([*command, '--on-error', 'skip']) == 0
    printed = capsys.readouterr().out
    assert 'skipped S1_Walking.55011271' in printed and 'found 5 frames, expected 6' in printed
    record = json.loads((tmp_path / 'out/conversion.json').read_text())
    assert record['splits']['train']['clips'] == 1 and len(record['skipped']) == 3
    assert 'variable Pose' in record['skipped']['S1_Walking.58860488']
    with pytest.raises(DataError):  # What was skipped is not silently accepted by a strict run.
        tool.main(command)


def test_missing_subjects_and_pixels_of_another_camera(raw, tmp_path):
    with pytest.raises(DataError, match=r'S5.*folder D2_Positions.*none.*--train'):
        tool.main([str(raw[0]), str(tmp_path), '--cameras', str(raw[1])])
    cameras = h36m_cameras(['S1', 'S9', 'S11'])
    for camera in camera_pickle(cameras).values():
        camera['f'] *= 0.5
    content = camera_pickle(cameras)
    for entry in content.values():
        entry['f'] = entry['f'] / 2
    path = write_pickle(tmp_path / 'cameras.pkl', content)
    with pytest.raises(DataError, match='distance of projected S from part'):
        tool.main([str(raw[0]), str(tmp_path / 'out'), '--cameras', str(path), *SUBJECTS])
    assert not (tmp_path / 'out/conversion.json').exists()
