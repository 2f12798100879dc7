"""Source to SMPL-X: a T-pose comes out straight, kinematics return the recording, resampling, motion files."""

import warnings

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from motionlab.body import H36M_17, SMPLX_22, amass_motion_joints, smplx22_to_h36m17
from motionlab.body.rotations import rotmat_to_rotvec
from motionlab.datasets.mocap.amc import parse_amc
from motionlab.datasets.mocap.asf import parse_asf
from motionlab.datasets.mocap.bvh import bvh_to_clip, parse_bvh
from motionlab.datasets.mocap.clip import resample
from motionlab.datasets.mocap.motion_file import load_motion, motion_arrays, save_motion
from motionlab.datasets.mocap.smplx_conversion import clip_to_smplx
from motionlab.datasets.mocap.sources import SOURCES, find_source
from motionlab.utils import DataError
from tests.test_datasets.mocap_samples import BANDAI_JOINTS, bandai_bvh, cmu_amc, cmu_asf, waving_bandai, waving_cmu


def _bandai(text: str):
    return bvh_to_clip(parse_bvh(text, 'dataset-1_walk_normal_001.bvh'), 0.01)


def _cmu(text: str):
    return parse_amc(text, parse_asf(cmu_asf(), '01.asf'), '01_01.amc', 120.0)


def _bandai_t_pose() -> str:
    """Every joint turned to where it points in a T-pose, from the picture of the body rather than from the table."""
    x, y, z = np.eye(3)
    pitch = {'Foot_L': 39.57, 'Foot_R': 39.57, 'Toes_L': 23.0, 'Toes_R': 20.4}
    world = {'joint_Root': np.eye(3)}
    for name in BANDAI_JOINTS:
        side = -1 if name.endswith('_R') else 1
        if name in pitch:  # along the sloping foot, with the left at its second axis
            dip = np.deg2rad(pitch[name])
            along = side * (np.cos(dip) * z - np.sin(dip) * y)
            world[name] = np.stack([along, x, np.cross(along, x)], axis=1)
        elif 'Leg' in name:
            world[name] = np.stack([-side * y, x, np.cross(-side * y, x)], axis=1)
        elif name[-2:] in ('_L', '_R'):
            world[name] = np.stack([x, side * y, np.cross(x, side * y)], axis=1)
        elif name == 'Hips':
            world[name] = np.stack([y, -x, z], axis=1)
        elif name != 'joint_Root':
            world[name] = np.stack([y, z, x], axis=1)
    frame = {}
    for name, (parent, _) in BANDAI_JOINTS.items():
        local = world[parent].T @ world[name] if parent else world[name]
        with warnings.catch_warnings(action='ignore'):  # Gimbal lock: any of its angles will do.
            frame[name] = tuple(Rotation.from_matrix(local).as_euler('ZXY', degrees=True))
    return bandai_bvh([frame] * 3)


def test_bandai_t_pose_is_straight():
    motion = clip_to_smplx(_bandai(_bandai_t_pose()))
    angles = torch.rad2deg(rotmat_to_rotvec(motion.local_rotmats[0]).norm(dim=-1))
    trunk = [SMPLX_22.index(name) for name in ('pelvis', 'spine1', 'spine2', 'spine3', 'neck', 'head')]
    assert angles[trunk].max() < 1e-4
    # Within a limb the template's bends are taken out once, at its first joint.
    inner = [SMPLX_22.index(f'{side}_{name}') for side in ('left', 'right')
             for name in ('knee', 'elbow', 'wrist', 'foot')]
    assert angles[inner].max() < 1e-4
    joints, _ = amass_motion_joints(motion_arrays(motion))
    where = dict(zip(SMPLX_22.joint_names, joints[0].numpy()))
    for side, sign in (('left', 1), ('right', -1)):
        np.testing.assert_allclose(where[f'{side}_wrist'] - where[f'{side}_shoulder'], [sign * 0.46, 0, 0], atol=1e-5)
        np.testing.assert_allclose(where[f'{side}_ankle'] - where[f'{side}_hip'], [0, -0.80, 0], atol=1e-5)
        toe = where[f'{side}_foot'] - where[f'{side}_ankle']
        dip = np.deg2rad(39.57)
        np.testing.assert_allclose(toe, [0, -0.12 * np.sin(dip), 0.12 * np.cos(dip)], atol=1e-5)
    np.testing.assert_allclose(where['head'] - where['pelvis'], [0, 0.46, 0], atol=1e-5)


def test_cmu_rest_pose_is_spread_by_twenty_degrees():
    motion = clip_to_smplx(_cmu(cmu_amc([{}] * 3)))
    rotvec = torch.rad2deg(rotmat_to_rotvec(motion.local_rotmats[0]))
    hips = [SMPLX_22.index('left_hip'), SMPLX_22.index('right_hip')]
    assert rotvec[hips, 2].tolist() == pytest.approx([20, -20], abs=2.5)  # up to the template's own bend
    joints, _ = amass_motion_joints(motion_arrays(motion))
    thigh = joints[0, SMPLX_22.index('left_knee')] - joints[0, SMPLX_22.index('left_hip')]
    np.testing.assert_allclose(thigh / thigh.norm(), [0.34202, -0.939693, 0], atol=1e-5)


@pytest.mark.parametrize(('make', 'bound_mm'), [(lambda: _bandai(waving_bandai()), 2.0),
                                                (lambda: _cmu(waving_cmu()), 4.0)], ids=['bandai', 'cmu'])
def test_kinematics_of_the_file_return_the_recording(make, bound_mm, tmp_path):
    clip = make()
    save_motion(tmp_path / 'clip.npz', motion_arrays(clip_to_smplx(clip)))
    joints, rotations = amass_motion_joints(load_motion(tmp_path / 'clip.npz'))
    source = find_source(clip.joint_names, clip.file)
    positions, _ = clip.global_pose()
    exact = ['hip', 'knee', 'ankle', 'foot']
    for name, (own, *_) in source.joints.items():
        error = (joints[:, SMPLX_22.index(name)] - positions[:, clip.joint_names.index(own)]).norm(dim=-1)
        if name == 'pelvis' or name.split('_')[-1] in exact:
            assert error.max() < 1e-5, name
        elif not name.startswith('spine'):
            assert 1000 * error.mean() < 10 * bound_mm, name
    assert clip_to_smplx(clip).error_mm < bound_mm
    torch.testing.assert_close(rotations @ rotations.mT, torch.eye(3).expand_as(rotations), atol=1e-5, rtol=0)


def test_h36m_joints_follow_the_rules():
    clip = _cmu(waving_cmu())
    motion = motion_arrays(clip_to_smplx(clip))
    joints, rotations = amass_motion_joints(motion)
    h36m = smplx22_to_h36m17(joints, rotations[:, SMPLX_22.index('head')], *(
        torch.from_numpy(motion[key]) for key in ('h36m_regressor', 'h36m_head_offset')))
    positions, turns = clip.global_pose()
    at = {name: positions[:, i].float() for i, name in enumerate(clip.joint_names)}
    head = clip.joint_names.index('head')
    rules = {'root': (at['lfemur'] + at['rfemur']) / 2, 'right_hip': at['rfemur'], 'right_foot': at['rfoot'],
             'left_knee': at['ltibia'], 'spine': 0.6 * at['upperback'] + 0.4 * at['thorax'],
             'left_shoulder': at['lhumerus'], 'left_elbow': at['lradius'], 'right_wrist': at['rhand']}
    for name, expected in rules.items():
        torch.testing.assert_close(h36m[:, H36M_17.index(name)], expected, atol=1e-5, rtol=0)
    top = at['head'] + (turns[:, head] @ clip.bone_ends[head]).float()
    assert (h36m[:, 10] - top).norm(dim=-1).max() < 0.04  # the neck has one joint less than the source
    nose = (h36m[:, 8] + h36m[:, 10]) / 2 + 0.07 * rotations[:, SMPLX_22.index('head'), :, 2]
    torch.testing.assert_close(h36m[:, 9], nose, atol=1e-5, rtol=0)
    bandai = clip_to_smplx(_bandai(waving_bandai())).h36m_head_offset
    torch.testing.assert_close(bandai[[9, 10]], torch.tensor([[0, 0.065, 0.07], [0, 0.13, 0]], dtype=torch.float64))


@pytest.mark.parametrize('source', SOURCES, ids=lambda s: s.name)
def test_tables_are_rotations_and_rules_are_means(source):
    torch.testing.assert_close(source.axes @ source.axes.mT, torch.eye(3, dtype=torch.float64).expand(22, 3, 3))
    assert (torch.linalg.det(source.axes) > 0).all()
    torch.testing.assert_close(source.h36m_regressor().sum(1), torch.ones(17, dtype=torch.float64))


@pytest.mark.parametrize(('fps', 'count', 'kept'), [(30, 6, 30), (29.5, 6, 30), (120, 24, 120), (60, 12, 60)])
def test_whole_strides_keep_frames(fps, count, kept):
    clip = _cmu(waving_cmu(24))
    taken = resample(clip, fps)
    assert (len(taken), taken.fps) == (count, kept)
    assert torch.equal(taken.rotations, clip.rotations[::round(120 / kept)])


def test_other_rates_are_interpolated():
    clip = _cmu(waving_cmu(25))
    there = resample(clip, 50.0)  # 2.4 frames a step
    assert (len(there), there.fps) == (11, 50.0)
    torch.testing.assert_close(there.translations[5], clip.translations[12])
    torch.testing.assert_close(there.rotations[5], clip.rotations[12])
    halfway = resample(clip, 240.0)
    assert len(halfway) == 49
    torch.testing.assert_close(halfway.translations[1], (clip.translations[0] + clip.translations[1]) / 2)
    with pytest.raises(ValueError, match='positive'):
        resample(clip, 0)


def test_what_is_no_known_recording_is_refused():
    clip = _bandai(waving_bandai())
    with pytest.raises(DataError, match=r'without .*Chest'):
        find_source([name for name in clip.joint_names if name != 'Chest'], 'x.bvh')
    clip.translations[7, clip.joint_names.index('LowerArm_L')] *= 1.5
    with pytest.raises(DataError, match=r'frame 8, position of LowerArm_L.* 120 mm'):
        clip_to_smplx(clip)


def test_lost_bones_of_the_cmu_bvh_are_only_restored_where_they_are_lost():
    source = next(source for source in SOURCES if source.dropped_bones)
    names = sorted((source.needed | set(source.dropped_bones)) - {'Hips'})
    text = 'HIERARCHY\nROOT Hips\n{\nOFFSET 0 0 0\nCHANNELS 1 Yposition\n' + ''.join(
        f'JOINT {name}\n{{\nOFFSET 0 1 0\nCHANNELS 0\n}}\n' for name in names)
    clip = bvh_to_clip(parse_bvh(text + '}\nMOTION\nFrames: 1\nFrame Time: 0.1\n5\n', '131_01.bvh'), 1.0)
    with pytest.raises(DataError, match='OFFSET of lowerneck: found a length'):
        clip_to_smplx(clip)


def test_motion_files_hold_what_they_promise(tmp_path):
    arrays = motion_arrays(clip_to_smplx(_bandai(waving_bandai())))
    save_motion(tmp_path / 'a' / 'clip.npz', arrays)
    save_motion(tmp_path / 'b' / 'clip.npz', arrays)
    assert (tmp_path / 'a/clip.npz').read_bytes() == (tmp_path / 'b/clip.npz').read_bytes()
    assert [path.name for path in (tmp_path / 'a').iterdir()] == ['clip.npz']
    loaded = load_motion(tmp_path / 'a/clip.npz')
    assert loaded['poses'].shape == (20, 165)
    assert not loaded['poses'][:, 66:].any()
    assert loaded['poses'].dtype == loaded['trans'].dtype == np.float32
    assert (float(loaded['mocap_frame_rate']), str(loaded['gender']), str(loaded['up_axis'])) == (30, 'neutral', 'z')
    # Z-up: the pelvis walks 1 m along +z of the file, which is -y here, at 0.9 m height.
    np.testing.assert_allclose(loaded['trans'][[0, -1]], [[0, 0, 0.9], [0.1, -1, 0.9]], atol=1e-6)


@pytest.mark.parametrize(('change', 'field'), [
    ({'poses': np.zeros((20, 156), np.float32)}, 'poses'), ({'trans': np.full((20, 3), np.nan, np.float32)}, 'trans'),
    ({'trans': np.zeros((19, 3), np.float32)}, 'trans'), ({'rest_joints': None}, 'rest_joints'),
    ({'mocap_frame_rate': np.float64(0)}, 'mocap_frame_rate'), ({'betas': np.array(['x'] * 16)}, 'betas')])
def test_malformed_motion_files_are_named(change, field, tmp_path):
    arrays = {**motion_arrays(clip_to_smplx(_bandai(waving_bandai()))), **change}
    save_motion(tmp_path / 'clip.npz', {key: value for key, value in arrays.items() if value is not None})
    with pytest.raises(DataError, match=field) as caught:
        load_motion(tmp_path / 'clip.npz')
    assert caught.value.field == field


def test_damaged_npz_files_are_named(tmp_path):
    path = tmp_path / 'clip.npz'
    save_motion(path, motion_arrays(clip_to_smplx(_bandai(waving_bandai()))))
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[200] ^= 0xff
    for data in (b'', b'rubbish', whole[:len(whole) // 2], whole[:-10], bytes(flipped)):
        path.write_bytes(data)
        with pytest.raises(DataError, match=r'clip\.npz: content'):
            load_motion(path)
    with pytest.raises(DataError):
        load_motion(tmp_path / 'absent.npz')
