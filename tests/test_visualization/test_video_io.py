import numpy as np
import pytest
from PIL import Image

from motionlab.datasets.image_frames import ImageFrames
from motionlab.utils import ConfigError, DataError
from motionlab.visualization.video_io import frame_rate, write_video


def _frames(number: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Plain pictures, each brighter than the one before, reddish."""
    return [np.full((height, width, 3), (10 + 15 * i, 10, 10), dtype=np.uint8) for i in range(number)]


def test_mp4_is_read_back_with_its_number_order_rate_and_colours(tmp_path):
    frames = _frames(9)
    assert write_video(tmp_path / 'new' / 'a.mp4', frames, fps=12.5) == 9
    source = ImageFrames(tmp_path / 'new' / 'a.mp4')
    assert len(source) == 9 and source.read(0).shape == (48, 64, 3)
    red = [source.read(frame)[..., 0].mean() for frame in range(9)]
    assert frame_rate(source.path) == pytest.approx(12.5) and frame_rate(tmp_path) is None
    np.testing.assert_allclose(red, [10 + 15 * i for i in range(9)], atol=6)
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['a.mp4']


def test_gif_keeps_every_picture_also_equal_ones(tmp_path):
    assert write_video(tmp_path / 'a.gif', [*_frames(3), *_frames(3)[-1:]], fps=20) == 4
    with Image.open(tmp_path / 'a.gif') as gif:
        total = 0
        for i in range(gif.n_frames):
            gif.seek(i)
            total += gif.info['duration']
    assert total == 4 * 50


@pytest.mark.parametrize('place', [0, 20, 39])
def test_gif_has_colours_that_come_late(tmp_path, place):
    frames = [np.zeros((8, 8, 3), np.uint8) for _ in range(40)]
    for frame in frames[max(place - 2, 0):]:
        frame[2:4] = 30, 90, 250
    write_video(tmp_path / 'a.gif', frames, fps=20)
    with Image.open(tmp_path / 'a.gif') as gif:
        gif.seek(gif.n_frames - 1)  # Equal pictures are one, for longer.
        assert np.array(gif.convert('RGB'))[3, 0].tolist() == [30, 90, 250]
    assert write_video(tmp_path / 'b.gif', iter(frames), fps=20) == 40


def test_nothing_is_left_of_a_video_that_failed(tmp_path):
    def broken():
        yield from _frames(2)
        raise DataError('source', 'frame', 'none', 'one')

    for name in ('a.mp4', 'a.gif'):
        with pytest.raises(DataError, match='source'):
            write_video(tmp_path / name, broken(), fps=10)
    assert list(tmp_path.iterdir()) == []


def test_wrong_requests(tmp_path):
    with pytest.raises(ConfigError, match=r"'\.avi'"):
        write_video(tmp_path / 'a.avi', _frames(1), fps=10)
    with pytest.raises(ConfigError, match='fps=0'):
        write_video(tmp_path / 'a.mp4', _frames(1), fps=0)
    with pytest.raises(DataError, match='at least one picture'):
        write_video(tmp_path / 'a.mp4', [], fps=10)
