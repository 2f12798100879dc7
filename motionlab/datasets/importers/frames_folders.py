"""Pictures or videos in folders, with one action per line in a text file."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from motionlab.datasets.image_frames import IMAGE_SUFFIXES, ImageFrames
from motionlab.datasets.importers.frames_episodes import RawEpisode, decode_picture, natural_files, read_action_file
from motionlab.utils import DataError

VIDEO_SUFFIXES = ('.mp4', '.avi', '.mkv', '.webm', '.mov')
_ACTION_FILES = ('actions.txt', 'actions.csv', 'actions')


def read_image_episodes(src: Path) -> Iterator[RawEpisode]:
    """One episode per folder with pictures, in natural order of their names.

    The actions of a folder are in ``actions.txt``, ``actions.csv`` or ``actions`` inside it; where it is the only
    folder with pictures of its parent (``snapshots/``), they may lie beside it.

    Raises:
        DataError: no pictures or no actions.
    """
    folders: dict[Path, list[Path]] = {}
    for path in natural_files(src, IMAGE_SUFFIXES):
        folders.setdefault(path.parent, []).append(path)
    for folder, files in folders.items():
        alone = sum(other.parent == folder.parent for other in folders) == 1
        places = [folder, folder.parent] if alone and folder != src else [folder]
        action_file = next((place / name for place in places for name in _ACTION_FILES if (place / name).is_file()),
                           None)
        if action_file is None:
            raise DataError(folder, 'actions', 'no such file', ' or '.join(_ACTION_FILES) + ', one action per line')
        name = folder.relative_to(src).as_posix() if folder != src else folder.name
        yield RawEpisode(name, folder, 0, read_action_file(action_file), 'cut', partial(_pictures, files), len(files))


def read_video_episodes(src: Path) -> Iterator[RawEpisode]:
    """One episode per video, in natural order; the actions of ``run.mp4`` are in ``run.txt`` beside it.

    Raises:
        DataError: no video, one that cannot be read, or no actions.
    """
    for path in natural_files(src, VIDEO_SUFFIXES):
        actions = read_action_file(path.with_suffix('.txt'))
        count = len(ImageFrames(path))
        yield RawEpisode(path.stem, path, 0, actions, 'cut', partial(_video, path), count)


def video_fps(src: Path) -> float:
    """Frames per second that the first video claims."""
    capture = cv2.VideoCapture(str(natural_files(src, VIDEO_SUFFIXES)[0]))
    fps = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    return fps


def _pictures(files: list[Path]) -> Iterator[np.ndarray]:
    for path in files:
        yield decode_picture(path, 'file', path.read_bytes())


def _video(path: Path) -> Iterator[np.ndarray]:
    frames = ImageFrames(path)
    for position in range(len(frames)):
        yield frames.read(position)
