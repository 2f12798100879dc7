import cv2
import numpy as np
import pytest
from PIL import Image

from motionlab.body.skeletons import SIDE_COLORS
from motionlab.utils import DataError
from motionlab.visualization.motion_drawing import MotionView, draw_motion_strips, draw_way, write_motion_video
from tests.motion_bodies import standing_motion


def _height_px(picture: np.ndarray, color: tuple[int, int, int]) -> float:
    """Mean row of the pixels of a colour."""
    rows = np.flatnonzero((np.abs(picture.astype(int) - color).sum(axis=-1) < 40).any(axis=1))
    return rows.mean()


def _column_px(picture: np.ndarray, color: tuple[int, int, int]) -> float:
    columns = np.flatnonzero((np.abs(picture.astype(int) - color).sum(axis=-1) < 40).any(axis=0))
    return columns.mean()


def test_figures_keep_their_height_and_the_ground_its_place():
    view = MotionView(200)
    pose = standing_motion(1)[0]
    low, high = view.draw(pose), view.draw(pose + [0, 0.3, 0])
    left = SIDE_COLORS['left']
    assert _height_px(low, left) - _height_px(high, left) == pytest.approx(0.3 * 200 / (2.3 * 1.05), rel=0.15)
    # The eye goes with the pelvis: half a line's distance moves the ground, a whole one does not.
    assert (view.draw(pose + [0.25, 0, 0]) != low).any()
    np.testing.assert_array_equal(view.draw(pose + [0.5, 0, 1.0]), low)


def test_who_faces_us_has_the_left_at_our_right():
    picture = MotionView(200).draw(standing_motion(1)[0])
    assert _column_px(picture, SIDE_COLORS['left']) > _column_px(picture, SIDE_COLORS['right']) + 5


def test_what_is_not_finite_is_left_out():
    pose = standing_motion(1)[0]
    pose[20] = np.nan
    assert (MotionView(80).draw(pose) < 200).any()
    pose[0] = np.nan
    assert (MotionView(80).draw(pose) == 255).all()
    far = standing_motion(3) * 1e7  # A motion that has flown away is drawn, in no time, somewhere.
    assert draw_motion_strips([far], 30).shape == (182, 4 * 160, 3)


def test_strips_have_a_row_for_each_motion():
    motions = [standing_motion(30), standing_motion(12)]
    picture = draw_motion_strips(motions, 30, num_frames=5, captions=['one', 'two'], size_px=80)
    assert picture.shape == (2 * (80 + 22), 6 * 80, 3) and picture.dtype == np.uint8
    assert draw_motion_strips([motions[0][:1]], 30, size_px=80).shape == (102, 2 * 80, 3)
    with pytest.raises(DataError, match='one for each motion'):
        draw_motion_strips(motions, 30, captions=['one'])
    with pytest.raises(DataError, match='at least one motion'):
        draw_motion_strips([motions[0][:, :10]], 30)


def test_the_way_is_seen_from_above():
    way = np.zeros((20, 3))
    way[:, 0] = np.linspace(0, 2, 20)  # Towards +x, which is right.
    picture = draw_way(way, 100, goal_m=np.array([2.0, 0, 2.0]))
    ring = np.argwhere(np.abs(picture.astype(int) - (200, 60, 60)).sum(-1) < 30)
    cross = np.argwhere(np.abs(picture.astype(int) - (40, 150, 80)).sum(-1) < 30)
    assert ring[:, 1].mean() < 30 and ring[:, 0].mean() < 30 and cross.mean(axis=0).min() > 70
    arrow = MotionView(200).draw(standing_motion(1)[0], target_m=np.array([3.0, 0, 0]))
    green = np.argwhere(np.abs(arrow.astype(int) - (40, 150, 80)).sum(-1) < 30)
    assert green[:, 1].mean() > 100


@pytest.mark.parametrize('suffix', ['.gif', '.mp4'])
def test_videos_have_every_frame(tmp_path, suffix):
    path = tmp_path / f'motion{suffix}'
    assert write_motion_video(path, [standing_motion(6), standing_motion(4)], 30, ['a', 'b'], size_px=64) == 6
    if suffix == '.gif':
        with Image.open(path) as video:
            assert video.n_frames == 6
    else:
        capture = cv2.VideoCapture(str(path))
        assert int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == 6 and capture.get(cv2.CAP_PROP_FPS) == 30
        capture.release()
