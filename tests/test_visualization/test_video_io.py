import numpy as np
import pytest
from matplotlib.image import imsave
from PIL import Image

from motionlab.utils import ConfigError, DataError
from motionlab.visualization.video_io import FrameSource, write_video


def _frames(number: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Plain pictures, each brighter than the one before, reddish."""
    return [np.full((height, width, 3), (10 + 15 * i, 10, 10), dtype=np.uint8) for i in range(number)]


def test_mp4_is_read_back_with_its_number_order_rate_and_colours(tmp_path):
    frames = _frames(9)
    assert write_video(tmp_path / 'new' / 'a.mp4', frames, fps=12.5) == 9
    source = FrameSource.open(tmp_path / 'new' / 'a.mp4')
    assert source.size_px == (64, 48) and source.fps == pytest.approx(12.5)
    red = [picture[..., 0].mean() for picture in source]
    assert len(red) == 9
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


def test_folder_is_read_in_the_order_of_numbers(tmp_path):
    for number in (10, 2, 1):
        imsave(tmp_path / f'frame_{number}.png', np.full((8, 8, 3), 20 * number, dtype=np.uint8))
    (tmp_path / 'notes.txt').write_text('no image')
    source = FrameSource.open(tmp_path)
    assert [int(picture.mean()) for picture in source] == [20, 40, 200]
    assert source.size_px == (8, 8) and source.fps is None


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
    with pytest.raises(DataError, match='nothing at this path'):
        FrameSource.open(tmp_path / 'absent.mp4')
    (tmp_path / 'text.mp4').write_text('no video')
    with pytest.raises(DataError, match='no picture'):
        FrameSource.open(tmp_path / 'text.mp4')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(DataError, match='no image'):
        FrameSource.open(tmp_path / 'empty')
    (tmp_path / 'empty' / '1.png').write_text('no image')
    with pytest.raises(DataError, match='OpenCV'):
        FrameSource.open(tmp_path / 'empty')
