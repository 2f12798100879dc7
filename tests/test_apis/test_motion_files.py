from dataclasses import replace

import numpy as np
import pytest
import torch

from motionlab.apis.inferencers.body_poses import read_poses
from motionlab.apis.motion_files import BodyMotion, cut_motion, read_motion
from motionlab.body import load_body, rotvec_to_rotmat
from motionlab.body.skeletons import SMPLX_22
from motionlab.datasets.amass.motions import MotionSelection, RestPelvis
from motionlab.datasets.amass.preparation import AmassPreparation, prepare_amass
from motionlab.datasets.mocap.bvh import bvh_to_clip, parse_bvh
from motionlab.datasets.motion_store import open_motion_store
from motionlab.utils import ConfigError, DataError
from tests.amass_tree import write_motion
from tests.motion_batches import motion_batch
from tests.test_apis.vposer_files import logged


@pytest.fixture(scope='module')
def body(small_body_file):
    return load_body(small_body_file, num_betas=16)


@pytest.fixture
def motion(body):
    batch = motion_batch(size=1, frames=40)
    return BodyMotion.of(body, *(batch[key][0] for key in ('root_orient', 'pose_body', 'trans', 'betas')))


def test_joints_are_those_of_the_body(motion, body):
    expected = body.joints(*map(torch.from_numpy, (motion.betas, motion.root_orient, motion.pose_body, motion.trans)))
    np.testing.assert_allclose(motion.joints, expected[:, :22], atol=2e-6)
    batch = motion_batch(size=1, frames=40)
    rotmats = [rotvec_to_rotmat(batch[key][0].unflatten(-1, (-1, 3))) for key in ('root_orient', 'pose_body')]
    again = BodyMotion.of(body, *rotmats, batch['trans'][0], batch['betas'][0])
    np.testing.assert_allclose(again.joints, motion.joints, atol=2e-6)


@pytest.mark.parametrize('up_axis', ['y', 'z'])
def test_npz_comes_back(motion, body, tmp_path, up_axis):
    path = motion.save(tmp_path / 'a/motion.npz', up_axis)
    again = read_motion(path, body)
    for name in ('root_orient', 'pose_body', 'trans', 'betas', 'joints'):
        np.testing.assert_allclose(getattr(again, name), getattr(motion, name), atol=5e-6)
    assert again.body == motion.body and again.fps == 30
    assert read_poses(path).shape == (40, 63)
    with np.load(path) as arrays:
        assert arrays['up_axis'] == up_axis and arrays['poses'].shape == (40, 165)
        heights = arrays['jts_body'][..., 'xyz'.index(up_axis)]
        np.testing.assert_allclose(heights, motion.joints[..., 1], atol=2e-6)
    assert [each.name for each in path.parent.iterdir()] == ['motion.npz']  # No half-written file is left.


def test_what_is_exported_can_be_trained_on(motion, small_body_file, tmp_path):
    for up_axis in ('y', 'z'):
        motion.save(tmp_path / f'tree/CMU/{up_axis}/clip_stageii.npz', up_axis)
    selection = MotionSelection(pelvises=(RestPelvis.from_file(small_body_file),))
    prepare_amass(AmassPreparation(tmp_path / 'tree', tmp_path / 'prepared', {'train': ['CMU']}, selection))
    store = open_motion_store(tmp_path / 'prepared/train.npz')
    assert store.lengths.tolist() == [40, 40]
    for key in ('trans', 'root_orient', 'pose_body'):
        np.testing.assert_allclose(store.frames[key], np.tile(getattr(motion, key), (2, 1)), atol=1e-5)


def test_bvh_has_the_same_joints(motion, tmp_path):
    data = motion.save(tmp_path / 'motion.bvh').read_bytes()
    clip = bvh_to_clip(parse_bvh(data, 'motion.bvh'), metres_per_unit=0.01)
    order = [clip.joint_names.index(name) for name in SMPLX_22.joint_names]
    np.testing.assert_allclose(clip.global_pose()[0][:, order], motion.joints, atol=1e-5)


def test_rates_and_families(body, tmp_path):
    found = read_motion(write_motion(tmp_path / 'a_stageii.npz', 80, fps=120), body)
    assert len(found) == 20 and (found.joints[:, 15, 1] - found.joints[:, 10, 1] > 1).all()  # Turned Y-up.
    assert len(read_motion(write_motion(tmp_path / 'b_stageii.npz', 80, fps=59.94), body)) == 40
    with pytest.raises(DataError, match='family'):  # SMPL-H shapes mean nothing to an SMPL-X body.
        read_motion(write_motion(tmp_path / 'b_poses.npz', 80), body)


def test_smpl_files_are_read(motion, body, tmp_path):
    poses = np.concatenate([motion.root_orient, motion.pose_body], axis=1).reshape(-1, 22, 3)
    with (tmp_path / 'walk_1.smpl').open('wb') as file:
        np.savez(file, bodyPose=poses, bodyTranslation=motion.trans, shapeParameters=motion.betas[:10],
                 frameRate=30.0, frameCount=40)
    found = read_motion(tmp_path / 'walk_1.smpl', body)
    np.testing.assert_allclose(found.pose_body, motion.pose_body, atol=2e-6)
    assert found.betas.shape == (16,) and not found.betas[10:].any()


def test_shapes_of_another_body_are_warned_about(motion, body, tmp_path):
    own = motion.save(tmp_path / 'own.npz')
    other = write_motion(tmp_path / 'walk_stageii.npz', 40, gender='female', fps=30.0)
    with logged() as lines:
        read_motion(own, body)
    assert not any('belong to body' in line for line in lines)
    older = replace(motion, body={**motion.body, 'version': 'v1.0'}).save(tmp_path / 'older.npz')
    for path, told in ((other, "'gender': 'female'"), (older, "'version': 'v1.0'")):
        with logged() as lines:
            read_motion(path, body)
        assert any(f'betas of {path.name} belong to body' in line and told in line for line in lines)


def test_cutting_and_refusals(motion, body, tmp_path):
    part = cut_motion(motion, 5, 3)
    assert len(part) == 3 and (part.joints == motion.joints[5:8]).all() and len(cut_motion(motion, 30)) == 10
    for first, count in ((39, 2), (-1, 2), (0, 0)):
        with pytest.raises(DataError, match='40'):
            cut_motion(motion, first, count)
    with pytest.raises(ConfigError, match=r'\.npz'):
        motion.save(tmp_path / 'motion.fbx')
    with pytest.raises(ConfigError, match='up axis'):
        motion.save(tmp_path / 'motion.bvh', 'z')
    with pytest.raises(DataError, match='nothing'):
        read_motion(tmp_path / 'absent.npz', body)
