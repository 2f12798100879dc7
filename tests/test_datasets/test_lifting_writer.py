"""Clips become annotation rows that agree with their cameras; files are streamed, mapped in place, resumable."""

import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from motionlab.body.cameras import Camera, camera_to_world, project
from motionlab.datasets.lifting_annotation import load_lifting_annotation
from motionlab.datasets.mocap.motion_file import save_motion
from motionlab.datasets.simulation import lifting_clip
from motionlab.datasets.simulation.depth_noise import DepthNoiseConfig
from motionlab.datasets.simulation.detection import DetectionConfig
from motionlab.datasets.simulation.lifting_clip import SimulationConfig, annotation_rows, camera_rows, simulate_clip
from motionlab.datasets.simulation.lifting_writer import assemble, write_shard
from motionlab.datasets.simulation.motion_files import MotionClip, list_clips, load_h36m_joints, split_of
from motionlab.datasets.simulation.procedural_motion import generate_clip
from motionlab.utils import DataError

CONFIG = SimulationConfig(num_cameras=2)
QUIET_DEPTH = DepthNoiseConfig(0, 0, 0, 0, bleed_px=0)
QUIET_DETECTOR = DetectionConfig(0, False, False, False, False)


@pytest.fixture(scope='module')
def motion_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp('mocap') / 'toy'
    for index, frames in enumerate((14, 9, 11)):
        save_motion(folder / 'toy' / f'toy_{index}.npz', generate_clip(0, index, frames, subject='toy'))
    return folder


@pytest.fixture(scope='module')
def joints(motion_dir):
    return load_h36m_joints(list_clips(motion_dir)[0].path)[0]


def test_joints_are_z_up_metres_at_the_files_rate(motion_dir):
    clip = next(clip for clip in list_clips(motion_dir) if '_walk_' in clip.name)
    points, fps = load_h36m_joints(clip.path)
    assert points.shape == (14, 17, 3) and fps == 30
    assert (points[:, 10, 2] > 1.3).all() and (points[:, [3, 6], 2] < 0.4).all()
    half, half_fps = load_h36m_joints(clip.path, frame_step=2)
    np.testing.assert_array_equal(half, points[::2])
    assert half_fps == 15


def test_rows_agree_with_their_cameras(joints):
    views = simulate_clip('toy_a_b-1', joints, 30.0, 0, CONFIG)
    rows, cameras = annotation_rows(views, CONFIG.stride), camera_rows(views)
    frames = len(joints)
    assert rows['part'].shape == (2 * frames, 17, 3) and rows['summary_casp_descriptor_10d'].shape[1:] == (17, 10)
    for i in range(2):
        camera = Camera(*(torch.as_tensor(cameras[key][i]) for key in 'RTfckpwh'))
        part = slice(i * frames, (i + 1) * frames)
        points = torch.as_tensor(rows['S'][part, :, :3]).double()
        np.testing.assert_allclose(camera_to_world(points, camera), joints, atol=1e-5)
        np.testing.assert_allclose(project(points, camera), rows['part'][part, :, :2], atol=1e-3)
    box = rows['part'][..., :2]
    np.testing.assert_allclose(rows['scale'], 1.2 * np.ptp(box, axis=1).max(-1) / 200, rtol=1e-4)
    descriptor = rows['summary_casp_descriptor_10d']
    np.testing.assert_array_equal(descriptor[..., :2], rows['predicted_keypoints'])
    np.testing.assert_array_equal(descriptor[..., 2], rows['predicted_keypoints_score'])
    np.testing.assert_allclose(descriptor[..., 3], 3 + 27 * (1 - descriptor[..., 2]), rtol=1e-5)
    np.testing.assert_array_equal(descriptor[..., 6], rows['predicted_da_depth'])
    assert (np.diff(descriptor[..., 4:9], axis=-1) >= -1e-6).all()
    assert (rows['predicted_depth_min'] <= descriptor[..., 4]).all()
    assert (rows['predicted_depth_max'] >= descriptor[..., 8]).all()
    # The disk is drawn in undistorted map pixels, the places are stored as pixels of the distorted image.
    inside = rows['predicted_valid'] & (box > 0).all(-1) & (box < 999).all(-1)
    for key in ('predicted_depth_min_px', 'predicted_depth_max_px'):
        away = np.linalg.norm(rows[key] - rows['predicted_keypoints'], axis=-1) / descriptor[..., 3]
        assert away[inside].max() <= 1.1 and away[inside].mean() > 0.2


def test_all_effects_off_is_the_truth(joints):
    config = replace(CONFIG, depth_noise=QUIET_DEPTH, detection=QUIET_DETECTOR, measure_depth=False)
    rows = annotation_rows(simulate_clip('toy', joints, 30.0, 0, config), config.stride)
    np.testing.assert_array_equal(rows['predicted_keypoints'], rows['part'][..., :2])
    np.testing.assert_array_equal(rows['predicted_da_depth'], rows['S'][..., 2])
    assert (rows['summary_casp_descriptor_10d'][..., 9] == rows['S'][..., 2]).all()
    np.testing.assert_array_equal(rows['predicted_depth_min'], rows['S'][..., 2])
    np.testing.assert_array_equal(rows['predicted_depth_max_px'], rows['predicted_keypoints'])
    assert (rows['predicted_keypoints_score'] == 1).all() and rows['predicted_valid'].all()


def test_exact_map_measures_the_surface_of_visible_joints(joints):
    config = replace(CONFIG, depth_noise=QUIET_DEPTH, detection=QUIET_DETECTOR)
    for view in simulate_clip('toy', joints, 30.0, 0, config):
        gap = (view.points_m[..., 2] - view.statistics.median)[~view.occluded & view.visible]
        assert np.quantile(gap, 0.02) > -0.02 and np.quantile(gap, 0.98) < 0.2
        assert view.occluded.any() and not view.occluded.all()


def test_pieces_of_a_clip_do_not_show(joints, monkeypatch):
    config = replace(CONFIG, depth_noise=QUIET_DEPTH, detection=QUIET_DETECTOR)
    whole = simulate_clip('toy', joints, 30.0, 0, config)
    monkeypatch.setattr(lifting_clip, '_CHUNK', 4)
    for view, other in zip(whole, simulate_clip('toy', joints, 30.0, 0, config)):
        np.testing.assert_array_equal(view.occluded, other.occluded)
        np.testing.assert_allclose(view.statistics.quantiles, other.statistics.quantiles, rtol=1e-5)
        np.testing.assert_allclose(view.statistics.minimum_px, other.statistics.minimum_px, atol=1e-3)


def test_name_and_seed_decide_everything(joints):
    first, again, other = (simulate_clip(name, joints, 30.0, 0, CONFIG)[0] for name in ('a', 'a', 'b'))
    np.testing.assert_array_equal(first.statistics.quantiles, again.statistics.quantiles)
    np.testing.assert_array_equal(first.detections.keypoints_px, again.detections.keypoints_px)
    assert not torch.equal(first.camera.T, other.camera.T)


def test_joints_outside_the_image_are_marked(joints):
    shifted = joints + np.linspace(0, 60, len(joints))[:, None, None] * [1, 0, 0]
    views = simulate_clip('far', shifted, 30.0, 0, CONFIG)
    rows = annotation_rows(views, CONFIG.stride)
    visible = rows['part'][..., 2] > 0
    assert 0 < visible.mean() < 1
    inside = (rows['part'][..., :2] >= 0).all(-1) & (rows['part'][..., :2] <= [999, 1001]).all(-1)
    assert inside[visible].all() and not rows['predicted_valid'][~visible].any()
    np.testing.assert_array_equal(rows['S'][..., 3], rows['part'][..., 2])
    assert all(np.isfinite(value).all() for value in rows.values())


def test_assembled_file_is_mapped_aligned_and_loads(motion_dir, tmp_path):
    clips = list_clips(motion_dir)
    for clip in clips:
        summary = write_shard(clip, tmp_path / f'{clip.name}.npz', 0, 1, CONFIG, 'print')
        assert not summary.problem and summary.counts['rows'] == 2 * summary.counts['frames']
    total = assemble([clip.name for clip in clips], lambda name: tmp_path / f'{name}.npz', tmp_path / 'out/train.npz')
    assert total == 2 * (14 + 9 + 11)
    content = (tmp_path / 'out/train.npz').read_bytes()
    with zipfile.ZipFile(tmp_path / 'out/train.npz') as archive:
        assert archive.testzip() is None
        for member in archive.infolist():
            name, extra = (int.from_bytes(content[member.header_offset + at:][:2], 'little') for at in (26, 28))
            start = member.header_offset + 30 + name + extra
            assert content[start:start + 6] == b'\x93NUMPY' and start % 64 == 0
    annotation = load_lifting_annotation(tmp_path / 'out/train.npz')
    assert len(annotation.clips) == 6 and annotation.fps == 30 and len(annotation.rows) == total
    assert sorted(annotation.run_lengths) == [9, 9, 11, 11, 14, 14]
    names = annotation.arrays['imgname'].tolist()
    assert names == sorted(names) and names[0] == f'{clips[0].name}.cam0_000001.jpg'
    with np.load(tmp_path / f'{clips[1].name}.npz') as shard:
        start = names.index(f'{clips[1].name}.cam0_000001.jpg')
        np.testing.assert_array_equal(annotation.arrays['S'][start:start + len(shard['S'])], shard['S'])


def test_finished_shard_is_kept_and_changed_settings_redo_it(motion_dir, tmp_path):
    clip, path = list_clips(motion_dir)[0], tmp_path / 'shard.npz'
    first = write_shard(clip, path, 0, 1, CONFIG, 'one')
    stamp = path.stat().st_mtime_ns
    assert write_shard(clip, path, 0, 1, CONFIG, 'one') == first and path.stat().st_mtime_ns == stamp
    write_shard(clip, path, 0, 1, CONFIG, 'two')
    assert path.stat().st_mtime_ns > stamp


def test_broken_motion_file_is_a_problem_not_a_crash(tmp_path):
    motion = generate_clip(0, 0, 5)
    motion['poses'][2, 1] = np.nan
    save_motion(tmp_path / 'a.npz', motion)
    summary = write_shard(MotionClip('a_b_c-1', tmp_path / 'a.npz'), tmp_path / 'shard.npz', 0, 1, CONFIG, '')
    assert 'a.npz' in summary.problem and 'poses' in summary.problem and not (tmp_path / 'shard.npz').exists()


def test_listing_names_bad_files(tmp_path):
    with pytest.raises(DataError, match='files: found none'):
        list_clips(tmp_path)
    save_motion(tmp_path / 'x' / 'a.npz', {**generate_clip(0, 0, 3), 'style': np.array('two_words')})
    with pytest.raises(DataError, match=r"a\.npz: style: found 'two_words'"):
        list_clips(tmp_path)
    save_motion(tmp_path / 'x' / 'a.npz', generate_clip(0, 0, 3))
    save_motion(tmp_path / 'x' / 'b.npz', generate_clip(0, 0, 3))
    with pytest.raises(DataError, match='another name'):
        list_clips(tmp_path)


def test_split_is_stable_and_close_to_80_10_10():
    names = [f'bandai2_walk_active-{i:03d}' for i in range(3000)]
    splits = [split_of(name, 0) for name in names]
    shares = {split: splits.count(split) / 3000 for split in ('train', 'val', 'test')}
    assert abs(shares['train'] - 0.8) < 0.03 and abs(shares['val'] - 0.1) < 0.02 and abs(shares['test'] - 0.1) < 0.02
    assert splits != [split_of(name, 1) for name in names]
    assert split_of('bandai2_walk_active-000', 0) == 'train'  # A change here would move every published split.
