"""Synthetic motion is repeatable, smooth, on the floor, and does what its label says."""

import numpy as np
import pytest

from motionlab.body import SMPLX_22, amass_motion_joints
from motionlab.datasets.mocap.motion_file import load_motion, save_motion
from motionlab.datasets.simulation.procedural_actions import ACTIONS, GRAVITY
from motionlab.datasets.simulation.procedural_body import make_body, two_bone_ik
from motionlab.datasets.simulation.procedural_motion import SHIFTED, generate_clip

FRAMES, FPS = 90, 30.0
INDEX = {action: i for i, action in enumerate(ACTIONS)}


@pytest.fixture(scope='module')
def joints():
    """action -> (T, 22, 3) Y-up joints of the first clip of every action."""
    return {action: amass_motion_joints(generate_clip(0, i, FRAMES, FPS))[0].numpy() for action, i in INDEX.items()}


def heading(points):
    """(T,) angle of the pelvis about the vertical; positive is to the left."""
    across = points[:, 1] - points[:, 2]
    return np.unwrap(np.arctan2(-across[:, 2], across[:, 0]))


def test_same_seed_same_clip_and_order_does_not_matter():
    first, again, other = generate_clip(3, 7, 40), generate_clip(3, 7, 40), generate_clip(4, 7, 40)
    for key, value in first.items():
        np.testing.assert_array_equal(value, again[key])
    assert np.abs(first['poses'] - other['poses']).max() > 0.05


@pytest.mark.parametrize('action', list(ACTIONS))
def test_clip_is_plausible(joints, action):
    points = joints[action]
    assert np.isfinite(points).all()
    balls = points[:, [10, 11], 1]
    assert balls.min() > 0.01 and balls.min(1).mean() < 0.15
    acceleration = np.diff(points, 2, axis=0) * FPS ** 2
    assert np.abs(acceleration).max() < 200
    assert (points[:, 15, 1] > points[:, 0, 1]).all()


@pytest.mark.parametrize('action', ['walk', 'run', 'walk-turn-left', 'bow', 'crouch'])
def test_standing_feet_do_not_slide(joints, action):
    ball = joints[action][:, [10, 11]]
    speed = np.linalg.norm(np.diff(ball, axis=0), axis=-1) * FPS
    grounded = np.maximum(ball[1:, :, 1], ball[:-1, :, 1]) < ball[..., 1].min() + 0.005
    assert grounded.any(0).all()
    assert np.median(speed[grounded]) < 0.02


def test_labels_tell_the_movement(joints):
    turn = {action: np.ptp(heading(points)) * np.sign(heading(points)[-1] - heading(points)[0])
            for action, points in joints.items()}
    assert turn['walk-turn-left'] > 0.5 and turn['walk-turn-right'] < -0.5
    moved = {action: np.linalg.norm(np.diff(points[:, 0, [0, 2]], axis=0), axis=-1).sum()
             for action, points in joints.items()}
    assert moved['run'] > moved['walk'] > 2 > moved['bow']

    def activity(action, wrist):
        relative = joints[action][:, wrist] - joints[action][:, 9]
        return np.linalg.norm(np.diff(relative, axis=0), axis=-1).sum()

    assert activity('reach-left-hand', 20) > 3 * activity('reach-left-hand', 21)
    assert activity('reach-right-hand', 21) > 3 * activity('reach-right-hand', 20)
    assert np.ptp(joints['crouch'][:, 0, 1]) > 0.15


def test_walk_moves_along_the_heading_with_contralateral_arms(joints):
    points = joints['walk']
    angle = heading(points)
    forward = np.stack([np.sin(angle), np.zeros_like(angle), np.cos(angle)], -1)
    velocity = np.gradient(points[:, 0], axis=0)
    assert ((velocity * forward).sum(-1) > 0).all()
    hand = ((points[:, 20] - points[:, 21]) * forward).sum(-1)
    foot = ((points[:, 7] - points[:, 8]) * forward).sum(-1)
    assert np.corrcoef(hand, foot)[0, 1] < -0.7


def test_jump_flies_by_gravity_alone():
    points = amass_motion_joints(generate_clip(0, INDEX['jump'], 300, 100.0))[0].numpy()
    flying = points[:, [10, 11], 1].min(1) > points[:, [10, 11], 1].min() + 0.03
    fall = np.diff(points[:, 0, 1], 2) * 100.0 ** 2
    inside = flying[:-2] & flying[1:-1] & flying[2:]
    assert inside.sum() > 5
    np.testing.assert_allclose(np.median(fall[inside]), -GRAVITY, rtol=0.03)


def test_bodies_vary_and_are_symmetric():
    bodies = [make_body(np.random.default_rng(i)) for i in range(8)]
    assert np.ptp([body.stature_m for body in bodies]) > 0.1
    for body in bodies:
        left = [i for i, side in enumerate(SMPLX_22.sides) if side == 'left']
        right = [SMPLX_22.flip_indices[i] for i in left]
        np.testing.assert_allclose(body.rest_joints[left] * [-1, 1, 1], body.rest_joints[right], atol=1e-12)
    shifted = generate_clip(0, 0, 10, variety=SHIFTED)['rest_joints']
    smallest = min(np.ptp(body.rest_joints[:, 1]) for body in bodies)
    assert np.ptp(shifted[:, 1]) < smallest


def test_two_bone_ik_reaches_and_bends_the_right_way():
    start, pole = np.zeros((1, 3)), np.array([[0.0, 0.0, 1.0]])
    end = np.array([[0.1, -0.6, 0.2]])
    upper, lower = two_bone_ik(start, end, pole, (0.4, 0.35), np.array([0.0, -1, 0]), np.array([1.0, 0, 0]))
    knee = upper @ [0, -0.4, 0]
    np.testing.assert_allclose(knee + lower @ [0, -0.35, 0], end, atol=1e-12)
    assert knee[0, 2] > 0.2  # In front of the straight line from hip to ankle.
    far = two_bone_ik(start, 10 * end, pole, (0.4, 0.35), np.array([0.0, -1, 0]), np.array([1.0, 0, 0]))
    assert np.isfinite(far[0]).all()


def test_file_passes_the_motion_file_check(tmp_path):
    motion = generate_clip(0, 2, 12)
    save_motion(tmp_path / 'clip.npz', motion)
    loaded = load_motion(tmp_path / 'clip.npz')
    assert loaded['poses'].shape == (12, 165) and str(loaded['action']) == 'run'
    assert set(motion) == set(loaded)
