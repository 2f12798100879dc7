import numpy as np

from motionlab.body.skeletons import LEFT, SIDE_COLORS
from motionlab.visualization.pose_drawing import draw_lifting_sample, draw_motion_strip


def _sample(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(200, 800, (17, 2)), rng.normal(0, 0.3, (17, 3)) + [0, 0, 4]


def _differ(a: np.ndarray, b: np.ndarray) -> int:
    """Columns in which two pictures differ, as a count in the left and right half."""
    columns = (a != b).any(axis=(0, 2))
    return columns[:len(columns) // 2].sum(), columns[len(columns) // 2:].sum()


def test_lifting_sample_is_an_rgb_picture_with_side_colours():
    keypoints, target = _sample()
    picture = draw_lifting_sample(keypoints, None, (1000, 1002), target)
    assert picture.dtype == np.uint8 and picture.shape == (400, 800, 3)
    assert (picture == SIDE_COLORS[LEFT]).all(axis=-1).sum() > 50


def test_2d_is_left_and_3d_is_right():
    keypoints, target = _sample()
    base = draw_lifting_sample(keypoints, np.ones(17), (1000, 1000), target, target + 0.1)
    moved_2d = draw_lifting_sample(keypoints + 40, np.ones(17), (1000, 1000), target, target + 0.1)
    left, right = _differ(base, moved_2d)
    assert left > 100 and right == 0
    bent = target + 0.1
    bent[16] += 0.5
    left, right = _differ(base, draw_lifting_sample(keypoints, np.ones(17), (1000, 1000), target, bent))
    assert left == 0 and right > 30


def test_poses_are_drawn_relative_to_the_root():
    keypoints, target = _sample()
    near = draw_lifting_sample(keypoints, None, (1000, 1000), target, target)
    far = draw_lifting_sample(keypoints, None, (1000, 1000), target + 3, target)
    assert sum(_differ(near, far)) == 0


def test_missing_joints_are_left_out():
    keypoints, target = _sample()
    keypoints[3] = np.nan
    confidence = np.ones(17)
    confidence[3] = np.nan
    target[5] = np.nan
    picture = draw_lifting_sample(keypoints, confidence, (1000, 1000), target, _sample(1)[1], title='one joint gone')
    assert picture.shape == (400, 800, 3)


def test_motion_strip_has_one_column_per_frame():
    motion = np.stack([_sample(i)[1] for i in range(3)])
    assert draw_motion_strip(motion, num_frames=8).shape == (260, 540, 3)
    assert draw_motion_strip(motion, motion + 0.1, num_frames=2, title='two of three').shape == (260, 360, 3)
