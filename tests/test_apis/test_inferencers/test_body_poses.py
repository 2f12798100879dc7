import numpy as np
import pytest
import torch

from motionlab.apis.inferencers.body_poses import BodyPoses, read_poses, read_targets
from motionlab.datasets.amass.archive import MotionArchive
from motionlab.datasets.amass.schema import read_body_pose, read_header
from motionlab.utils import ConfigError, DataError
from tests.pose_priors import random_poses

POSES = random_poses(4)
ROOT = 0.1 * np.ones((4, 3), np.float32)


def amass_arrays(width: int) -> dict[str, np.ndarray]:
    rest = np.zeros((4, width - 66))
    return dict(poses=np.concatenate([ROOT, POSES, rest], axis=1).astype(float), trans=np.zeros((4, 3)))


@pytest.mark.parametrize('arrays', [
    dict(pose_body=POSES), dict(pose_body=POSES, root_orient=ROOT, file_id=np.zeros(4, np.int32)), amass_arrays(156),
    amass_arrays(165) | dict(marker_meta=np.array([{'never': 'read'}], dtype=object))])
def test_poses_of_every_kind_of_file(tmp_path, arrays):
    np.savez(tmp_path / 'poses.npz', **arrays)
    found = read_poses(tmp_path / 'poses.npz')
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found, POSES)


def test_poses_of_arrays():
    for given in (POSES, POSES.reshape(4, 21, 3).astype(float), torch.from_numpy(POSES)):
        np.testing.assert_allclose(read_poses(given), POSES)


@pytest.mark.parametrize(('arrays', 'message'), [
    (dict(betas=np.zeros(16)), 'poses: missing'), (dict(pose_body=POSES[:, :60]), r'shape \(4, 60\)'),
    (amass_arrays(72), 'width: found 72'), (dict(pose_body=np.full((2, 63), np.nan)), 'not finite'),
    (dict(pose_body=np.zeros((2, 63), int)), 'pose_body'), (dict(pose_body=POSES[:0]), 'pose_body')])
def test_wrong_pose_files(tmp_path, arrays, message):
    np.savez(tmp_path / 'poses.npz', **arrays)
    with pytest.raises(DataError, match=message):
        read_poses(tmp_path / 'poses.npz')


def test_no_file(tmp_path):
    for read in (read_poses, read_targets):
        with pytest.raises(DataError, match=r'absent\.npz: file: found nothing'):
            read(tmp_path / 'absent.npz')


@pytest.mark.parametrize(('family', 'width'), [('smplx', 165), ('smplh', 156)])
def test_what_is_written_reads_as_amass(tmp_path, family, width):
    betas = np.stack([np.arange(10), np.arange(10) + 2, np.full(10, np.nan), np.arange(10) + 1]).astype(np.float32)
    poses = BodyPoses(POSES, np.ones((4, 32), np.float32), ROOT, 2 * ROOT, betas,
                      dict(family=family, gender='female', version='v1.1'), 'z', 60.0, dict(error_mm=np.arange(4.)))
    path = poses.save(tmp_path / 'new' / 'fits.npz')
    with MotionArchive(path) as archive:
        header = read_header(archive)
        assert (header.family, header.num_frames) == (family, 4)
        root, body = read_body_pose(archive, header)
    np.testing.assert_array_equal(body, POSES)
    np.testing.assert_array_equal(root, ROOT)
    with np.load(path, allow_pickle=False) as file:
        assert file['poses'].shape == (4, width)
        np.testing.assert_array_equal(file['poses'][:, :66], np.concatenate([ROOT, POSES], axis=1))
        assert not file['poses'][:, 66:].any()
        np.testing.assert_array_equal(file['betas'], np.arange(10) + 1)
        np.testing.assert_array_equal(file['betas_per_frame'], betas)
        told = {key: file[key].item() for key in ('gender', 'surface_model_type', 'surface_model_version', 'up_axis',
                                                  'mocap_frame_rate', 'num_betas')}
        assert told == dict(gender='female', surface_model_type=family, surface_model_version='v1.1', up_axis='z',
                            mocap_frame_rate=60.0, num_betas=10)
        np.testing.assert_array_equal(file['error_mm'], np.arange(4))
        assert file['poZ'].shape == (4, 32) and file['mocap_time_length'] == pytest.approx(4 / 60)


def test_plain_poses_have_zeros_elsewhere(tmp_path):
    with np.load(BodyPoses(POSES, np.ones((4, 8), np.float32)).save(tmp_path / 'a.npz')) as file:
        assert not file['trans'].any() and not file['root_orient'].any() and not file['betas'].any()
        assert file['betas'].shape == (16,) and 'betas_per_frame' not in file
    with pytest.raises(ConfigError, match=r"'\.npy'"):
        BodyPoses(POSES, np.ones((4, 8), np.float32)).save(tmp_path / 'a.npy')


def test_targets(tmp_path):
    path = tmp_path / 'targets.npz'
    points = np.random.default_rng(0).random((5, 3, 3))
    np.savez(path, keypoints=points)
    found = read_targets(path)
    torch.testing.assert_close(found.points, torch.from_numpy(points).float())
    assert (found.confidence, found.vertex_ids, found.up_axis, found.fps) == (None, None, 'y', 30.0)
    np.savez(path, markers=points, vertex_ids=[7, 8, 9], confidence=np.eye(5, 3, dtype=bool), up_axis=b'z',
             mocap_frame_rate=120)
    found = read_targets(path)
    assert (found.vertex_ids, found.up_axis, found.fps) == ((7, 8, 9), 'z', 120.0)
    torch.testing.assert_close(found.confidence, torch.eye(5, 3))


@pytest.mark.parametrize(('change', 'message'), [
    (dict(markers=None), 'targets'), (dict(vertex_ids=None), 'targets'),
    (dict(keypoints=np.zeros((5, 3, 3))), 'targets'),
    (dict(markers=np.zeros((5, 9))), r'markers: found float64 \(5, 9\)'),
    (dict(markers=np.zeros((5, 3, 3), int)), 'int64'), (dict(markers=np.zeros((0, 3, 3))), r'\(0, 3, 3\)'),
    (dict(vertex_ids=[1, 2]), r'vertex_ids: found int64 \(2,\)'),
    (dict(vertex_ids=[1., 2, 3]), 'vertex_ids: found float64'),
    (dict(confidence=np.ones(3)), r'confidence: found .* \(3,\)'),
    (dict(up_axis='x'), "up_axis: value: found 'x'"), (dict(up_axis=[0, 1]), 'up_axis: dtype'),
    (dict(mocap_frame_rate=0.0), 'mocap_frame_rate: value: found 0.0'),
    (dict(mocap_frame_rate=[30., 60]), r'mocap_frame_rate: dtype: found float64 of shape \(2,\)'),
    (dict(mocap_framerate='fast'), 'mocap_framerate: dtype'),
    (dict(mocap_framerate=30.0, mocap_frame_rate=60.0), 'frame rate: contradiction')])
def test_wrong_targets(tmp_path, change, message):
    arrays = dict(markers=np.zeros((5, 3, 3)), vertex_ids=np.arange(3)) | change
    np.savez(tmp_path / 'targets.npz', **{key: value for key, value in arrays.items() if value is not None})
    with pytest.raises(DataError, match=message):
        read_targets(tmp_path / 'targets.npz')
