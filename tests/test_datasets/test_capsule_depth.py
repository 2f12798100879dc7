"""Rendered depth equals a direct ray-distance search, and hides what lies behind."""

import numpy as np
import pytest
import torch

from motionlab.body.cameras import world_to_camera
from motionlab.datasets.simulation.capsule_depth import (
    MAX_DEPTH_M,
    Background,
    BodyCapsules,
    PinholeGrid,
    body_capsules,
    crop_windows,
    occluded_joints,
    render_depth,
)
from motionlab.datasets.simulation.virtual_cameras import CameraRig, room_behind, sample_cameras

GRID = PinholeGrid(np.array([400.0, 390.0]), np.array([96.0, 81.0]), (200, 160), 4)
FAR_WALL = Background(np.array([[0.0, 0.0, 1.0]]), np.array([8.0]))


def standing_pose() -> np.ndarray:
    """(17, 3) Human3.6M joints of a person at the origin: x left, y forward, z up, facing +y."""
    return np.array([
        [0, 0, .92], [-.12, 0, .92], [-.12, 0, .5], [-.12, 0, .08], [.12, 0, .92], [.12, 0, .5], [.12, 0, .08],
        [0, 0, 1.17], [0, 0, 1.43], [0, .07, 1.53], [0, 0, 1.63], [.17, 0, 1.40], [.17, 0, 1.12], [.17, 0, .87],
        [-.17, 0, 1.40], [-.17, 0, 1.12], [-.17, 0, .87]])


def march(start, end, radius, ray):
    """Depth at which the ray first comes within ``radius`` of the segment, by small steps."""
    depths = np.arange(0.5, 6, 5e-4)
    points = depths[:, None] * ray
    axis = end - start
    part = np.clip((points - start) @ axis / (axis @ axis), 0, 1)
    inside = np.linalg.norm(points - start - part[:, None] * axis, axis=-1) <= radius
    return depths[np.argmax(inside)] if inside.any() else np.inf


def test_capsule_matches_ray_marching():
    rng = np.random.default_rng(0)
    start = rng.normal([0, 0, 3], [0.3, 0.3, 0.4], (2, 3, 3)).astype(np.float32)
    end = start + rng.normal(0, 0.35, (2, 3, 3)).astype(np.float32)
    capsules = BodyCapsules(start, end, np.array([0.05, 0.12, 0.2], np.float32), np.zeros(17))
    height, width = GRID.shape
    depth = render_depth(capsules, FAR_WALL, GRID, np.zeros((2, 2), int), (height, width))
    columns, rows = rng.integers(0, width, 60), rng.integers(0, height, 60)
    hits = 0
    for u, v in zip(columns, rows):
        ray = np.array([GRID.to_rays(u, 0), GRID.to_rays(v, 1), 1.0])
        for frame in range(2):
            wanted = min(march(start[frame, c], end[frame, c], capsules.radius[c], ray) for c in range(3))
            hits += np.isfinite(wanted)
            np.testing.assert_allclose(depth[frame, v, u], min(wanted, 8.0), atol=2e-3)
    assert hits > 20


def test_degenerate_capsule_is_a_sphere_and_windows_agree():
    centre = np.array([[[0.05, -0.02, 2.0]]], np.float32)
    ball = BodyCapsules(centre, centre, np.array([0.3], np.float32), np.zeros(17))
    whole = render_depth(ball, FAR_WALL, GRID, np.zeros((1, 2), int), GRID.shape)
    assert abs(whole.min() - 1.7) < 2e-3
    part = render_depth(ball, FAR_WALL, GRID, np.array([[10, 7]]), (20, 25))
    np.testing.assert_allclose(part[0], whole[0, 7:27, 10:35], rtol=1e-6)


def test_background_planes():
    floor = np.array([0.0, 1.0, 0.0])
    planes = Background(np.stack([floor, [0.0, 0.0, 1.0]]), np.array([1.5, 30.0]))
    nothing = BodyCapsules(np.full((1, 1, 3), [0, 0, -5.0]), np.full((1, 1, 3), [0, 0, -5.0]),
                           np.array([0.1], np.float32), np.zeros(17))
    depth = render_depth(nothing, planes, GRID, np.zeros((1, 2), int), GRID.shape)[0]
    row = GRID.shape[0] - 1
    np.testing.assert_allclose(depth[row], 1.5 / GRID.to_rays(row, 1), rtol=1e-5)
    assert (depth[0] == MAX_DEPTH_M).all()  # Above the horizon, and the wall is out of range.


@pytest.fixture(scope='module')
def side_view():
    """The standing person from the left side: (1, 17, 3) camera axes, grid, origin, depth."""
    world = standing_pose()
    turned = np.stack([-world[:, 1], -world[:, 2] + 0.9, -world[:, 0] + 4.0], -1)[None]
    grid = PinholeGrid(np.array([1145.0, 1145.0]), np.array([500.0, 500.0]), (1000, 1000), 4)
    points = grid.to_map(turned[..., :2] / turned[..., 2:])
    origins, window = crop_windows(points, 10, grid.shape)
    capsules = body_capsules(turned)
    depth = render_depth(capsules, FAR_WALL, grid, origins, window)
    return turned, points - origins[:, None], depth, capsules


def test_far_limbs_are_hidden_and_near_ones_are_not(side_view):
    joints, points, depth, capsules = side_view
    hidden = occluded_joints(depth, points, joints[..., 2], capsules.joint_radius)[0]
    assert hidden[[1, 14, 15, 16]].all()      # Right hip, shoulder, elbow, wrist.
    assert not hidden[[4, 5, 6, 11, 12, 13]].any()


def test_map_shows_the_surface_of_visible_joints(side_view):
    joints, points, depth, capsules = side_view
    at = np.floor(points[0, [5, 6, 12, 13]] + 0.5).astype(int)
    surface = depth[0, at[:, 1], at[:, 0]]
    gap = joints[0, [5, 6, 12, 13], 2] - surface
    np.testing.assert_allclose(gap, capsules.joint_radius[[5, 6, 12, 13]], atol=0.02)
    assert (surface < 5).all()


def test_crop_windows_hold_all_points_inside_the_map():
    points = np.random.default_rng(0).uniform(-10, 70, (5, 17, 2))
    origins, window = crop_windows(points, 3, (40, 50))
    assert (origins >= 0).all() and (origins + window[::-1] <= [50, 40]).all()
    inside = np.clip(points, 0, [49, 39])
    assert (inside >= origins[:, None]).all() and (inside <= (origins + window[::-1])[:, None] - 1).all()


def test_cameras_see_the_person_and_repeat():
    rng_joints = standing_pose() + np.linspace(0, 2, 20)[:, None, None] * [0, 1, 0]
    cameras = sample_cameras(np.random.default_rng(5), rng_joints, 4)
    again = sample_cameras(np.random.default_rng(5), rng_joints, 4)
    for camera, other in zip(cameras, again):
        torch.testing.assert_close(camera.R, other.R, rtol=0, atol=0)
        torch.testing.assert_close(camera.R @ camera.R.T, torch.eye(3, dtype=torch.double))
        assert torch.linalg.det(camera.R) > 0 and 1.4 <= camera.T[2, 0] <= 1.7
        local = world_to_camera(torch.as_tensor(rng_joints), camera)
        assert local[..., 2].min() > 1.5
        assert (local[:, 10, 1] < local[:, 3, 1]).all()  # The head is above the foot: y points down.
    middle = rng_joints.reshape(-1, 3).mean(0)[:2]
    spread = [np.linalg.norm(camera.T[:2, 0].numpy() - middle) for camera in cameras]
    assert min(spread) > 3 and max(spread) <= CameraRig().max_distance_m + 0.5


def test_room_lies_behind_the_person():
    joints = standing_pose()[None]
    rng = np.random.default_rng(1)
    camera = sample_cameras(rng, joints, 1)[0]
    room = room_behind(rng, joints, camera)
    points = world_to_camera(torch.as_tensor(joints), camera).numpy()[0]
    assert (points @ room.normals.T < room.offsets).all()
