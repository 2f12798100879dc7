import numpy as np
import pytest
from PIL import Image

from motionlab.datasets.image_frames import ImageFrames
from motionlab.utils import DataError
from motionlab.visualization import write_pose_video
from motionlab.visualization.video_io import frame_rate, write_video


def _clip(frames: int = 7) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return dict(keypoints_px=rng.uniform(100, 500, (frames, 17, 2)), poses_m=rng.normal(0, 0.3, (frames, 17, 3)),
                confidence=rng.uniform(0, 1, (frames, 17)))


def _write(path, **changes) -> int:
    return write_pose_video(path, **{**_clip(), 'image_size': (640, 480), 'height_px': 120, **changes})


def _read(path) -> np.ndarray:
    source = ImageFrames(path)
    return np.stack([source.read(frame) for frame in range(len(source))]).astype(int)


def test_one_picture_per_frame_2d_left_and_3d_right(tmp_path):
    assert _write(tmp_path / 'a.mp4') == 7
    base = _read(tmp_path / 'a.mp4')
    assert base.shape == (7, 120, 160 + 120, 3) and frame_rate(tmp_path / 'a.mp4') == 25
    _write(tmp_path / 'b.mp4', keypoints_px=_clip()['keypoints_px'] + 60)
    changed = np.abs(base - _read(tmp_path / 'b.mp4')) > 60
    assert changed[:, :, :152].any(axis=(1, 2, 3)).all() and not changed[:, :, 168:].any()


def test_gif(tmp_path):
    assert _write(tmp_path / 'a.gif') == 7
    with Image.open(tmp_path / 'a.gif') as gif:
        assert gif.n_frames == 7


def test_drawn_over_a_video_with_its_rate_also_of_another_size(tmp_path):
    write_video(tmp_path / 'green.mp4', [np.full((240, 320, 3), (0, 200, 0), dtype=np.uint8)] * 7, fps=50)
    assert _write(tmp_path / 'a.mp4', video=tmp_path / 'green.mp4') == 7
    left = _read(tmp_path / 'a.mp4')[0, :, :160].reshape(-1, 3)
    assert frame_rate(tmp_path / 'a.mp4') == 50
    assert np.median(left[:, 1]) > 170 and np.median(left[:, 0]) < 40


def test_frames_without_detection_say_so(tmp_path):
    valid = np.arange(7) != 2
    _write(tmp_path / 'a.gif')
    _write(tmp_path / 'b.gif', valid=valid)
    with Image.open(tmp_path / 'a.gif') as plain, Image.open(tmp_path / 'b.gif') as flagged:
        differ = []
        for i in range(7):
            plain.seek(i)
            flagged.seek(i)
            differ.append((np.array(plain.convert('RGB')) != np.array(flagged.convert('RGB'))).any())
    assert differ[2] and not any(differ[:2])


@pytest.mark.parametrize(('frames', 'found'), [(5, '5 frames, expected 7'), (8, '8 frames, expected 7')])
def test_a_video_of_another_length_is_refused(tmp_path, frames, found):
    write_video(tmp_path / 'short.mp4', [np.zeros((48, 64, 3), dtype=np.uint8)] * frames, fps=25)
    with pytest.raises(DataError, match=found):
        _write(tmp_path / 'a.mp4', video=tmp_path / 'short.mp4')
    assert not (tmp_path / 'a.mp4').exists()


def test_what_does_not_fit_is_refused(tmp_path):
    write_video(tmp_path / 'tall.mp4', [np.zeros((64, 48, 3), dtype=np.uint8)] * 7, fps=25)
    with pytest.raises(DataError, match='48 x 64 px, expected the proportions'):
        _write(tmp_path / 'a.mp4', video=tmp_path / 'tall.mp4')
    with pytest.raises(DataError, match=r'keypoints_px: found shape \(6, 17, 2\)'):
        _write(tmp_path / 'a.mp4', keypoints_px=np.zeros((6, 17, 2)))
