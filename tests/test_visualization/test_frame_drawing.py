import numpy as np
import pytest
from PIL import Image

from motionlab.utils import ConfigError
from motionlab.visualization.frame_drawing import (
    difference,
    draw_rollouts,
    draw_windows,
    enlarge,
    rollout_pictures,
    write_rollout_video,
)


def _frames(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def _holds(picture: np.ndarray, frame: np.ndarray) -> bool:
    """Whether a frame is somewhere in a picture, pixel by pixel."""
    height, width = frame.shape[:2]
    corners = np.argwhere((picture[:-height + 1 or None, :-width + 1 or None] == frame[0, 0]).all(-1))
    return any((picture[y:y + height, x:x + width] == frame).all() for y, x in corners)


def test_enlarged_by_a_whole_number():
    small = _frames(2, 16, 24)
    large = enlarge(small)
    assert large.shape == (2, 96, 144, 3)  # 6 times: the larger side reaches 128.
    np.testing.assert_array_equal(large[:, ::6, ::6], small)
    assert enlarge(_frames(64, 64)).shape == (128, 128, 3) and enlarge(_frames(200, 130)).shape == (200, 130, 3)


def test_difference_is_white_where_nothing_differs():
    frame = _frames(4, 4)
    other = frame.copy()
    other[1, 2, 0] ^= 255
    found = difference(frame, other)
    assert found[1, 2, 0] == 255 - min(255, 2 * abs(int(frame[1, 2, 0]) - int(other[1, 2, 0])))
    found[1, 2, 0] = 255
    assert (found == 255).all()
    np.testing.assert_array_equal(difference(frame, other), difference(other, frame))


def test_strips_hold_all_frames():
    history, frames, target = _frames(2, 3, 16, 24, seed=1), _frames(2, 16, 24, seed=2), _frames(2, 16, 24, seed=3)
    picture = draw_windows(history, frames, target, ['one', 'two'])
    assert picture.dtype == np.uint8 and picture.ndim == 3
    for frame in (*history.reshape(-1, 16, 24, 3), *frames, *target, *difference(frames, target)):
        assert _holds(picture, enlarge(frame))
    made, real = _frames(2, 5, 16, 24, seed=4), _frames(2, 5, 16, 24, seed=5)
    picture = draw_rollouts(made, real, [1, 4, 5], ['one', 'two'])
    for frame in (*made[:, [0, 3, 4]].reshape(-1, 16, 24, 3), *real[:, [0, 3, 4]].reshape(-1, 16, 24, 3)):
        assert _holds(picture, enlarge(frame))
    assert not _holds(picture, enlarge(made[0, 1]))
    assert len(draw_rollouts(made, None, [1, 5], ['one', 'two'])) < len(picture)


def test_videos(tmp_path):
    made, real, actions = _frames(1, 4, 15, 21, seed=4), _frames(1, 4, 15, 21, seed=5), np.array([[0, 4, 7, 2]])
    pictures = list(rollout_pictures(made, real, actions, ['game']))
    assert len(pictures) == 4 and all(side % 2 == 0 for side in pictures[0].shape[:2])
    for step, picture in enumerate(pictures):
        assert _holds(picture, enlarge(made[0, step])) and _holds(picture, enlarge(real[0, step]))
    assert write_rollout_video(tmp_path / 'a.gif', made, real, actions, ['game'], 15) == 4
    with Image.open(tmp_path / 'a.gif') as gif:
        assert gif.n_frames == 4 and gif.size == pictures[0].shape[1::-1]
    assert write_rollout_video(tmp_path / 'a.mp4', made, None, actions, ['game'], 15) == 4
    with pytest.raises(ConfigError, match='suffix'):
        write_rollout_video(tmp_path / 'a.avi', made, real, actions, ['game'], 15)
