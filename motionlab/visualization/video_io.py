"""Pictures into videos: OpenCV for MP4, pillow for GIF."""

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from motionlab.utils import ConfigError, DataError

VIDEO_SUFFIXES = ('.mp4', '.gif')
_PALETTE_PICTURES = 16  # that the colours of a GIF are chosen from


def frame_rate(path: str | Path) -> float | None:
    """Frames per second of a video file; None for a folder, or where the file does not tell."""
    if not Path(path).is_file():
        return None
    capture = cv2.VideoCapture(str(path))
    fps = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    return fps if fps > 0 else None


def write_video(path: str | Path, frames: Iterable[np.ndarray], fps: float) -> int:
    """Write pictures to ``.mp4`` or ``.gif`` as they come; memory holds one at a time for MP4.

    The file appears when it is whole.

    Args:
        path: Where; folders are made.
        frames: (H, W, 3) uint8 RGB, all of one size; H and W even for MP4. The 256 colours of a GIF are chosen from
            pictures all over a sequence, or from the first one of an iterator.
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
    sample = _spread(frames) if isinstance(frames, Sequence) else []
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise DataError(path, 'frames', 'none', 'at least one picture')
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.{path.stem}.part{path.suffix}')  # The suffix chooses the format.
    frames = chain([first], frames)
    try:
        number = _write_mp4(part, frames, fps) if path.suffix.lower() == '.mp4' else _write_gif(
            part, frames, fps, sample or [first])
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return number


def _spread(frames: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Some pictures from all over a sequence."""
    step = max(1, (len(frames) - 1) // (_PALETTE_PICTURES - 1))
    return [frames[place] for place in range(0, len(frames), step)]


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


def _write_gif(path: Path, frames: Iterator[np.ndarray], fps: float, sample: list[np.ndarray]) -> int:
    # One palette for all: choosing one per picture takes ten times as long, and colours would flicker.
    palette = Image.fromarray(np.concatenate(sample)).quantize(colors=256, method=Image.Quantize.FASTOCTREE)
    number = 0

    def quantized() -> Iterator[Image.Image]:
        nonlocal number
        for frame in frames:
            number += 1
            yield Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)

    milliseconds = max(20, round(100 / fps) * 10)
    # A picture equal to the one before must stay a picture of its own, so nothing is optimised away.
    others = quantized()
    next(others).save(path, format='GIF', save_all=True, append_images=others, duration=milliseconds, loop=0,
               optimize=False)
    return number
