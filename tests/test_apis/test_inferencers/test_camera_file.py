import numpy as np
import pytest
import torch

from motionlab.apis.inferencers import read_camera
from motionlab.body.cameras import project
from motionlab.utils import DataError
from tests.synthetic import write_lifting_annotation


def test_the_camera_of_a_clip_projects_it(tmp_path):
    with np.load(write_lifting_annotation(tmp_path, clips=1, frames=4)) as arrays:
        joints, pixels = torch.from_numpy(arrays['S'][..., :3]).double(), arrays['part'][..., :2]
    np.testing.assert_allclose(project(joints, read_camera(tmp_path / 'train_cameras.npz')), pixels, atol=1e-2)


def test_which_camera(tmp_path):
    write_lifting_annotation(tmp_path, clips=2, frames=2, cameras={'k': None, 'p': None})
    path = tmp_path / 'train_cameras.npz'
    camera = read_camera(path, 'synth_reach-out_normal-001.cam1')
    assert camera.h == 1002 and camera.batch_shape == () and (camera.k == 0).all()
    with pytest.raises(DataError, match=r'found 2 cameras: .*expected the name of one'):
        read_camera(path)
    with pytest.raises(DataError, match="no 'cam9'; the first are"):
        read_camera(path, 'cam9')


def test_cameras_without_a_lens(tmp_path):
    write_lifting_annotation(tmp_path, clips=1, frames=2, cameras={'f': None})
    with pytest.raises(DataError, match='key f'):
        read_camera(tmp_path / 'train_cameras.npz')
