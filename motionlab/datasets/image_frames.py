"""Pictures of a folder or a video by name or position, and the joining of what is known about them by name."""

import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from motionlab.datasets.detections import natural_order
from motionlab.utils import DataError

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp')


class ImageFrames:
    """Pictures of a folder (and its folders), or of a video file.

    Pictures of a video are called ``<video>_000001.jpg`` and so on, as in lifting annotations. It is read forwards;
    stepping back reads it from its start again.

    Args:
        path: Folder or video file.

    Attributes:
        names: Path below the folder of every picture, in natural order (frame 2 before frame 10).

    Raises:
        DataError: Nothing there, or nothing that can be read as pictures.
    """

    def __init__(self, path: str | Path):
        self.path = path = Path(path)
        self._capture, self._next = None, 0
        if path.is_dir():
            files = (file for file in path.rglob('*') if file.suffix.lower() in IMAGE_SUFFIXES)
            self.names = sorted((file.relative_to(path).as_posix() for file in files), key=natural_order)
        elif path.is_file():
            self.names = [f'{path.stem}_{frame:06d}.jpg' for frame in range(1, self._count_frames() + 1)]
        else:
            raise DataError(path, 'images', 'nothing at this path', 'a folder of images or a video file')
        if not self.names:
            raise DataError(path, 'images', 'no picture', 'a video, or a folder with files ending in '
                            + ', '.join(IMAGE_SUFFIXES))

    def __len__(self) -> int:
        return len(self.names)

    def read(self, position: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB; turned upright as the file's orientation tag says.

        Raises:
            DataError: The file is damaged or no image.
        """
        if self.path.is_dir():
            file = self.path / self.names[position]
            picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
        else:
            file, picture = self.path, self._read_video(position)
        if picture is None:
            raise DataError(file, f'picture {self.names[position]}', 'nothing that OpenCV can read', 'an image')
        return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)  # (H, W, 3)

    def stamp(self, position: int) -> tuple[str, int, int]:
        """Name, size and time of the file that holds a picture, as in make: they change when the picture does."""
        status = (self.path / self.names[position] if self.path.is_dir() else self.path).stat()
        return self.names[position], status.st_size, status.st_mtime_ns

    def _count_frames(self) -> int:
        """By reading: what a container says about its length is often wrong."""
        capture, count = cv2.VideoCapture(str(self.path)), 0
        while capture.grab():
            count += 1
        capture.release()
        return count

    def _read_video(self, position: int) -> np.ndarray | None:
        if self._capture is None or position < self._next:
            self._capture, self._next = cv2.VideoCapture(str(self.path)), 0
        while self._next < position and self._capture.grab():
            self._next += 1
        self._next += 1
        return self._capture.read()[1]


def match_names(wanted: Sequence[str], held: Sequence[str], source: str | Path) -> np.ndarray:
    """Position of every wanted name among the held ones; -1 where it is missing.

    Image suffixes do not count. Names are compared with their folders first, then without.

    Args:
        wanted: N names.
        held: M names.
        source: Where the held names come from, for errors.

    Returns:
        (N,) int64.

    Raises:
        DataError: Held names are not distinct, a name fits several of them, or names that differ in their folder fit
            one that tells none or another.
    """
    whole = _positions([_without_suffix(name) for name in held])
    short = _positions([_base(name) for name in held])
    twice = next((positions for positions in whole.values() if len(positions) > 1), None)
    if twice:
        raise DataError(source, f'name {held[twice[0]]}', f'{len(twice)} times', 'every name once')
    found = np.full(len(wanted), -1, np.int64)
    for i, name in enumerate(wanted):
        positions = whole.get(_without_suffix(name)) or short.get(_base(name), [])
        if len(positions) > 1:
            raise DataError(source, f'name {name}', [held[p] for p in positions[:3]], 'one that fits',
                            'Names that differ in their folder only must be given with it.')
        if positions:
            found[i] = positions[0]
    _check_folders(wanted, held, found, source)
    return found


def _check_folders(wanted: Sequence[str], held: Sequence[str], found: np.ndarray, source: str | Path) -> None:
    """Pictures of two folders must not share what is known about one name."""
    users: dict[int, str] = {}
    for name, position in zip(wanted, found.tolist()):
        first = users.setdefault(position, name)
        if position >= 0 and _without_suffix(first) != _without_suffix(name):
            raise DataError(source, f'name {held[position]}', f'{first} and {name} both fit it', 'one of them',
                            'Names that differ in their folder only must be given with it.')


def _positions(names: list[str]) -> dict[str, list[int]]:
    table: dict[str, list[int]] = {}
    for position, name in enumerate(names):
        table.setdefault(name, []).append(position)
    return table


def _without_suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition('.')
    return stem if dot + suffix.lower() in IMAGE_SUFFIXES else name


def _base(name: str) -> str:
    return _without_suffix(re.split(r'[/\\]', name)[-1])
