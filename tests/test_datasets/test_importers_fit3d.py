"""Fit3D's JSON files: world joints, and cameras with and without lens distortion."""

import json

import numpy as np
import pytest
import torch

from motionlab.body.cameras import camera_to_world, project
from motionlab.datasets.lifting_annotation import load_lifting_annotation
from motionlab.datasets.lifting_inputs import LiftingInputs
from motionlab.datasets.pose_lifting_dataset import PoseLiftingDataset
from motionlab.utils import DataError
from tests.test_datasets.import_samples import arrays, camera_of, film, write_fit3d
from tests.test_tools import load_tool

tool = load_tool('dataset_converters/fit3d_to_lifting.py')
SUBJECTS = ['--train', 's03', '--val', 's10']


@pytest.fixture(scope='module')
def raw(tmp_path_factory):
    root = tmp_path_factory.mktemp('fit3d')
    return root, {name: write_fit3d(root / 'train', *name.split('/'), seed=seed)
                  for seed, name in enumerate(('s03/squat', 's03/push_ups', 's10/walk_the_box'))}


def test_with_distortion(raw, tmp_path):
    tool.main([str(raw[0]), str(tmp_path), *SUBJECTS])
    val = arrays(tmp_path / 'val.npz')
    assert val['imgname'][0] == 's10_50591643_walk_the_box.mp4_000001.jpg' and val['S'].shape == (4 * 7, 17, 4)
    world, cameras = raw[1]['s10/walk_the_box']
    for number, (name, camera) in enumerate(cameras.items()):
        rows = slice(7 * number, 7 * number + 7)
        points, pixels = film(world, camera)
        np.testing.assert_allclose(val['S'][rows, :, :3], points, atol=2e-6)
        np.testing.assert_allclose(val['part'][rows, :, :2], pixels, atol=1e-3)
        written = camera_of(tmp_path, 'val', f's10_{name}_walk_the_box.mp4')
        stored = torch.from_numpy(val['S'][rows, :, :3]).double()
        np.testing.assert_allclose(camera_to_world(stored, written), world, atol=1e-5)
        np.testing.assert_allclose(project(stored, written), pixels, atol=1e-3)
    annotation = load_lifting_annotation(tmp_path / 'train.npz', inputs=LiftingInputs(detected=False))
    assert annotation.fps == 50 and len(annotation.clips) == 8
    assert {clip.action for clip in annotation.clips} == {'squat', 'push_ups'}
    assert (annotation.image_size_px == 900).all() and not (tmp_path / 'test.npz').exists()
    batch = PoseLiftingDataset(tmp_path / 'train.npz', seq_len=3, keypoints='ground_truth').__getitems__(range(8))
    assert batch['keypoints_valid'].all()


def test_without_distortion(raw, tmp_path):
    tool.main([str(raw[0]), str(tmp_path), *SUBJECTS, '--distortion', 'without'])
    val, cameras = arrays(tmp_path / 'val.npz'), arrays(tmp_path / 'val_cameras.npz')
    pixels = val['S'][..., :2] / val['S'][..., 2:3] * [1100, 1101] + [450, 451]
    np.testing.assert_allclose(val['part'][..., :2], pixels, atol=1e-3)
    assert not cameras['k'].any() and not cameras['p'].any()
    assert json.loads((tmp_path / 'conversion.json').read_text())['settings']['distortion'] == 'without'


def test_malformed_files_are_named(tmp_path):
    write_fit3d(tmp_path, 's03', 'squat')
    joints = tmp_path / 's03/joints3d_25/squat.json'
    camera = tmp_path / 's03/camera_parameters/58860488/squat.json'
    command = [str(tmp_path), str(tmp_path / 'out'), '--train', 's03', '--val']
    good_joints, good_camera = joints.read_text(), camera.read_text()
    lens = json.loads(good_camera)
    for path, text, named in (
            (joints, '[1, 2', 'squat.json: file: '), (joints, '{"joints": []}', 'joints3d_25: found nothing'),
            (joints, '{"joints3d_25": [[[1, 2, 3]], [[1, 2]]]}', 'joints3d_25: found .*inhomogeneous'),
            (joints, '{"joints3d_25": [[[1, 2, 3]]]}', r'\(1, 1, 3\), expected \(T, 25, 3\)'),
            (camera, '{}', r'extrinsics.R: found nothing'),
            (camera, json.dumps({**lens, 'intrinsics_w_distortion': {'f': [[1, 2]]}}), 'intrinsics_w_distortion.c'),
            (camera, json.dumps({**lens, 'extrinsics': {'R': [[1]], 'T': [[1, 2, 3]]}}), r'R \(3, 3\)')):
        path.write_text(text)
        with pytest.raises(DataError, match=named) as caught:
            tool.main(command)
        assert str(path) in str(caught.value)
        joints.write_text(good_joints)
        camera.write_text(good_camera)
    camera.unlink()
    tool.main([*command, '--on-error', 'skip'])
    assert list(json.loads((tmp_path / 'out/conversion.json').read_text())['skipped']) == ['s03_58860488_squat.mp4']
    with pytest.raises(DataError, match='s04: found no such folder'):
        tool.main([str(tmp_path), str(tmp_path / 'out')])
