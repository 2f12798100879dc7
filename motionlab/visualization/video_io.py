"""Pictures from videos and folders, and pictures into videos: OpenCV for MP4, pillow for GIF."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from motionlab.datasets.detections import natural_order
from motionlab.datasets.image_frames import IMAGE_SUFFIXES
from motionlab.utils import ConfigError, DataError

VIDEO_SUFFIXES = ('.mp4', '.gif')


@dataclass(frozen=True)
class FrameSource:
    """Pictures of a video file, or of a folder in the order of the numbers in their names.

    Args:
        path: Where they lie.
        size_px: Width and height of the first.
        fps: Frames per second; None for a folder.
    """

    path: Path
    size_px: tuple[int, int]
    fps: float | None

    @classmethod
    def open(cls, path: str | Path) -> 'FrameSource':
        """Raise :class:`DataError` where nothing is, or nothing that can be read."""
        path = Path(path)
        if not path.exists():
            raise DataError(path, 'video', 'nothing at this path', 'a video file or a folder of images')
        first = next(_read_folder(path) if path.is_dir() else _read_video(path), None)
        if first is None:
            raise DataError(path, 'video', 'no picture that OpenCV can read', 'a video file or a folder of images')
        fps = 0.0
        if path.is_file():
            capture = cv2.VideoCapture(str(path))
            fps = capture.get(cv2.CAP_PROP_FPS)
            capture.release()
        return cls(path, (first.shape[1], first.shape[0]), fps if fps > 0 else None)

    def __iter__(self) -> Iterator[np.ndarray]:
        """(H, W, 3) uint8 RGB, one at a time."""
        return _read_folder(self.path) if self.path.is_dir() else _read_video(self.path)


def write_video(path: str | Path, frames: Iterable[np.ndarray], fps: float) -> int:
    """Write pictures to ``.mp4`` or ``.gif`` as they come; memory holds one at a time for MP4.

    The file appears when it is whole.

    Args:
        path: Where; folders are made.
        frames: (H, W, 3) uint8 RGB, all of one size; H and W even for MP4.
        fps: Frames per second. GIF rounds the time of a picture to 10 ms and shows none for less than 20 ms.

    Returns:
        The number of pictures written.

    Raises:
        ConfigError: another suffix, or a frame rate that is not above 0.
        DataError: no picture at all, or no encoder for the size.
    """
    path = Path(path)
    if path.suffix.lower() not in VIDEO_SUFFIXES or not fps > 0:
        raise ConfigError(f'{path}: found suffix {path.suffix!r}, fps={fps}; expected one of {VIDEO_SUFFIXES} and a '
                          'frame rate above 0.')
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise DataError(path, 'frames', 'none', 'at least one picture')
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.{path.stem}.part{path.suffix}')  # The suffix chooses the format.
    write = _write_gif if path.suffix.lower() == '.gif' else _write_mp4
    try:
        number = write(part, chain([first], frames), fps)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return number


def _write_mp4(path: Path, frames: Iterator[np.ndarray], fps: float) -> int:
    first = next(frames)
    size = first.shape[1], first.shape[0]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), fps, size)
    if not writer.isOpened():
        raise DataError(path, 'video', f'OpenCV opened no mp4v encoder for {size[0]} x {size[1]} px', 'one',
                        'Write a .gif instead.')
    number = 0
    try:
        for frame in chain([first], frames):
            writer.write(np.ascontiguousarray(frame[..., ::-1]))
            number += 1
    finally:
        writer.release()
    return number


def _write_gif(path: Path, frames: Iterator[np.ndarray], fps: float) -> int:
    # One palette for all: choosing one per picture takes ten times as long, and colours would flicker.
    first = Image.fromarray(next(frames)).quantize(colors=256, method=Image.Quantize.FASTOCTREE)
    number = 1

    def others() -> Iterator[Image.Image]:
        nonlocal number
        for frame in frames:
            number += 1
            yield Image.fromarray(frame).quantize(palette=first, dither=Image.Dither.NONE)

    milliseconds = max(20, round(100 / fps) * 10)
    # A picture equal to the one before must stay a picture of its own, so nothing is optimised away.
    first.save(path, format='GIF', save_all=True, append_images=others(), duration=milliseconds, loop=0,
               optimize=False)
    return number


def _read_video(path: Path) -> Iterator[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    try:
        while True:
            there, frame = capture.read()
            if not there:
                return
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)                                  # (H, W, 3)
    finally:
        capture.release()


def _read_folder(path: Path) -> Iterator[np.ndarray]:
    images = (file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
    files = sorted(images, key=lambda file: natural_order(file.name))
    if not files:
        raise DataError(path, 'folder', 'no image', f'files ending in {", ".join(IMAGE_SUFFIXES)}')
    for file in files:
        picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if picture is None:
            raise DataError(file, 'image', 'nothing that OpenCV can read', 'an image')
        yield cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)                                    # (H, W, 3)
