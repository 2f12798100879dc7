"""Pictures are found by name and position, in folders and videos."""

import cv2
import numpy as np
import pytest

from motionlab.datasets.image_frames import ImageFrames, match_names
from motionlab.utils import DataError


def write_image(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((12, 16, 3), value, np.uint8))


def test_folder_in_natural_order_rgb(tmp_path):
    for number in (10, 2, 1):
        write_image(tmp_path / f'a/x_{number}.png', [number, 0, 200])  # OpenCV writes BGR.
    (tmp_path / 'notes.txt').write_text('no picture')
    frames = ImageFrames(tmp_path)
    assert frames.names == ['a/x_1.png', 'a/x_2.png', 'a/x_10.png'] and len(frames) == 3
    assert frames.read(2)[0, 0].tolist() == [200, 0, 10]
    before = frames.stamp(1)
    (tmp_path / 'a/x_2.png').write_bytes(b'broken')
    assert frames.stamp(1) != before
    with pytest.raises(DataError, match=r'x_2\.png: picture a/x_2\.png'):
        frames.read(1)


def test_video_by_position(tmp_path):
    path = tmp_path / 'clip.mp4'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 10, (64, 48))
    for value in (0, 60, 120, 180, 240):
        writer.write(np.full((48, 64, 3), value, np.uint8))
    writer.release()
    frames = ImageFrames(path)
    assert frames.names[0] == 'clip_000001.jpg' and len(frames) == 5
    for position in (0, 1, 4, 2, 3):  # Forwards, with gaps, and backwards.
        assert abs(frames.read(position).mean() - 60 * position) < 10


def test_nothing_to_read_is_named(tmp_path):
    with pytest.raises(DataError, match='nothing at this path'):
        ImageFrames(tmp_path / 'absent')
    with pytest.raises(DataError, match='no picture'):
        ImageFrames(tmp_path)
    (tmp_path / 'clip.mp4').write_bytes(b'broken')
    with pytest.raises(DataError, match='no picture'):
        ImageFrames(tmp_path / 'clip.mp4')


def test_names_match_without_suffix_and_folder():
    held = ['S1/S1_Walk.541_000001.jpg', 'S1/S1_Walk.541_000002.jpg', 'b/x.png', 'c/x.png']
    wanted = ['S1_Walk.541_000002', 'S1/S1_Walk.541_000001.png', 'S1_Walk.541_000003.jpg', 'c/x']
    assert match_names(wanted, held, 'here').tolist() == [1, 0, -1, 3]
    with pytest.raises(DataError, match=r"here: name x\.jpg: found \['b/x\.png', 'c/x\.png'\]"):
        match_names(['x.jpg'], held, 'here')
    with pytest.raises(DataError, match=r'here: name a\.jpg: found 2 times'):
        match_names(['q'], ['a.jpg', 'a.png'], 'here')


@pytest.mark.parametrize('held', ['1.jpg', 'b/1.jpg'])
def test_pictures_of_two_folders_do_not_share_one_name(held):
    assert match_names(['a/1.jpg', 'a/1.png'], [held], 'here').tolist() == [0, 0]
    with pytest.raises(DataError, match=r'here: name \w*/?1\.jpg: found a/1\.jpg and b/1\.jpg both fit it'):
        match_names(['a/1.jpg', 'b/1.jpg'], [held], 'here')
