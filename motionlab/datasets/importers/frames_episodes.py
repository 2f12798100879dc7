"""What every importer of recorded games shares: episodes as they come, pictures in one size, borders of episodes."""

import io
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from motionlab.utils import ConfigError, DataError


@dataclass(frozen=True)
class RawEpisode:
    """One episode of a source, pictures not yet read.

    Args:
        name: Its number or name there.
        source: File, for messages.
        first_row: Of its first frame in that file, for messages.
        actions: (m,) as numbered there. With n frames: n - 1, or n where the last leads out of the episode.
        end: One of :data:`motionlab.datasets.frame_store.ENDS`.
        read: Yields the n pictures, (h, w, c) uint8 in the orientation of the source; None for latents alone.
        num_frames: n.
        latents: (n, C, h, w), where there are some.
    """

    name: str
    source: Path
    first_row: int
    actions: np.ndarray
    end: str
    read: Callable[[], Iterable[np.ndarray]] | None
    num_frames: int
    latents: np.ndarray | None = None

    def place(self, frame: int) -> str:
        """Where a frame of it is, for messages."""
        return f'episode {self.name}, row {self.first_row + frame}'


@dataclass
class PictureShape:
    """Pictures of a source to frames of one size; the first one says what size all must have.

    Args:
        transpose: Pictures are stored with x and y exchanged (arrays of a pygame surface).
        expected: Height and width of frames as played, before ``size``; a source in another size is refused.
        size: Side in pixels of what is stored: black bars make frames square (the odd row or column at the bottom or
            right), then they are resized bilinearly. None keeps them as they are.
    """

    transpose: bool = False
    expected: tuple[int, int] | None = None
    size: int | None = None
    found: tuple[int, ...] | None = field(default=None, init=False)

    def frames(self, episode: RawEpisode) -> np.ndarray:
        """(n, H, W, 3) uint8 of an episode.

        Raises:
            DataError: size or channels change, or are not what is expected; pictures are missing.
        """
        frames = [self._frame(episode, number, picture) for number, picture in enumerate(episode.read())]
        if len(frames) != episode.num_frames:
            raise DataError(episode.source, f'episode {episode.name}: frames', len(frames), episode.num_frames)
        return np.stack(frames)

    def _frame(self, episode: RawEpisode, number: int, picture: np.ndarray) -> np.ndarray:
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[-1] not in (1, 3, 4):
            raise DataError(episode.source, f'{episode.place(number)}: frame', f'{picture.dtype} of shape '
                            f'{picture.shape}', 'uint8 of shape (height, width, 1, 3 or 4)')
        if self.found is None:
            self._check_first(episode, number, picture)
            self.found = picture.shape
        if picture.shape != self.found:
            height, width, channels = self.found
            raise DataError(episode.source, f'{episode.place(number)}: frame size', '{} high, {} wide, {} channels'.
                            format(*picture.shape), f'{height} high, {width} wide, {channels} channels, as the first')
        picture = np.repeat(picture, 3, axis=-1) if picture.shape[-1] == 1 else picture[..., :3]
        if self.size is not None:
            picture = square(picture, self.size)
        return picture.transpose(1, 0, 2) if self.transpose else picture

    def _check_first(self, episode: RawEpisode, number: int, picture: np.ndarray) -> None:
        played = picture.shape[1::-1] if self.transpose else picture.shape[:2]
        if self.expected is None or played == tuple(self.expected):
            return
        hint = ''
        if played == tuple(self.expected)[::-1]:
            hint = 'Width and height are swapped: pictures are stored ' + (
                'upright: say --upright.' if self.transpose else 'transposed: say --transpose.')
        raise DataError(episode.source, f'{episode.place(number)}: frame size', f'{played[0]} high, {played[1]} wide',
                        f'{self.expected[0]} high, {self.expected[1]} wide', hint)


class EpisodeBorders:
    """Finds where episodes begin in rows that name theirs, and refuses orders that cannot be true.

    Args:
        source: File, for messages.
    """

    def __init__(self, source: Path):
        self.source = source
        self._seen: dict[str, int] = {}
        self._current: str | None = None
        self._done = False

    def begins(self, row: int, episode: object, done: object) -> bool:
        """Whether ``row`` is the first of an episode.

        Raises:
            DataError: the episode was left before, or was done already.
        """
        if isinstance(episode, float) and not episode.is_integer():  # NaN too
            raise DataError(self.source, f'row {row}: episode', episode, 'a whole number or a name')
        if done not in (True, False, 0, 1):
            raise DataError(self.source, f'episode {episode}, row {row}: done', repr(done), 'true or false')
        name = str(int(episode)) if isinstance(episode, float) else str(episode)
        begins = name != self._current
        if begins and name in self._seen:
            raise DataError(self.source, f'row {row}: episode', f'{name}, which ended in row {self._seen[name]}',
                            'the rows of an episode to follow each other', 'Sort the rows, or give every episode a '
                            'number of its own.')
        if not begins and self._done:
            raise DataError(self.source, f'episode {name}, row {row}: done', f'true in row {row - 1}, and the episode '
                            'goes on', 'done in the last row of an episode only',
                            'Give every episode a number of its own.')
        self._current, self._done = name, bool(done)
        self._seen[name] = row
        return begins


def decode_picture(source: Path, place: str, data: bytes) -> np.ndarray:
    """(h, w, 1, 3 or 4) uint8 of an encoded picture; palettes become RGB.

    Raises:
        DataError: it is damaged or no picture.
    """
    from PIL import Image
    try:
        with Image.open(io.BytesIO(data)) as picture:
            if picture.mode not in ('L', 'RGB', 'RGBA'):
                picture = picture.convert('RGB')
            array = np.asarray(picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(source, f'{place}: frame', f'{type(error).__name__}: {error}', 'a picture') from error
    return array if array.ndim == 3 else array[..., None]


def square(picture: np.ndarray, size: int) -> np.ndarray:
    """(h, w, 3) -> (size, size, 3): black bars to a square, bilinear."""
    from PIL import Image
    height, width = picture.shape[:2]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    canvas = np.zeros((side, side, 3), np.uint8)
    canvas[top:top + height, left:left + width] = picture
    return np.asarray(Image.fromarray(canvas).resize((size, size), Image.Resampling.BILINEAR))


def read_action_file(path: Path) -> np.ndarray:
    """(m,) int64: one whole number per line.

    Raises:
        DataError: it is absent, or a line is none.
    """
    try:
        lines = path.read_text(encoding='utf-8').split('\n')
    except (OSError, ValueError) as error:
        raise DataError(path, 'actions', f'{type(error).__name__}: {error}', 'a text file') from None
    while lines and not lines[-1].strip():
        lines.pop()
    for row, line in enumerate(lines):
        if not re.fullmatch(r'[+-]?\d{1,9}', line.strip(), re.ASCII):
            raise DataError(path, f'line {row + 1}: action', repr(line[:40]), 'one whole number per line')
    return np.array([int(line) for line in lines], np.int64)


def action_array(source: Path, episode: object, first_row: int, values: Iterable[object]) -> np.ndarray:
    """(m,) int64 of plain values of the rows of one episode; :class:`DataError` for the first that is no action."""
    values = list(values)
    for row, value in enumerate(values, first_row):
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2 ** 31:
            raise DataError(source, f'episode {episode}, row {row}: action', repr(value), 'a whole number')
    return np.array(values, np.int64)


def natural_files(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """Files below ``folder`` (or itself) with one of ``suffixes``, frame 2 before frame 10.

    Raises:
        DataError: there is none.
    """
    from motionlab.datasets.detections import natural_order
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise DataError(folder, 'source', 'nothing at this path', f'a file or a folder of {", ".join(suffixes)}')
    found = sorted((path for path in folder.rglob('*') if path.suffix.lower() in suffixes and path.is_file()),
                   key=lambda path: natural_order(path.relative_to(folder).as_posix()))
    if not found:
        raise DataError(folder, 'source', 'no such file', f'files ending in {", ".join(suffixes)}')
    return found


def map_actions(episode: RawEpisode, mapping: tuple[int, ...] | None, num_actions: int) -> np.ndarray:
    """Actions of an episode in our numbers, (m,) int64.

    Args:
        episode: Whose.
        mapping: Ours by theirs; None where they are the same.
        num_actions: How many ours are.

    Raises:
        DataError: one is out of range, or the mapping does not know it.
    """
    actions = np.asarray(episode.actions)
    if actions.ndim != 1 or (len(actions) and actions.dtype.kind not in 'iu'):
        raise DataError(episode.source, f'episode {episode.name}: actions', f'{actions.dtype} of shape '
                        f'{actions.shape}', 'whole numbers, one per step')
    known = num_actions if mapping is None else len(mapping)
    wrong = (actions < 0) | (actions >= known)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(episode.source, f'{episode.place(row)}: action', int(actions[row]), f'0 to {known - 1}',
                        'Say how actions are numbered with --action-map, or what they are with --action-names.')
    return actions.astype(np.int64) if mapping is None else np.array(mapping, np.int64)[actions.astype(np.int64)]


def parse_action_map(text: str, num_actions: int) -> tuple[int, ...]:
    """Ours by theirs from ``ale`` or numbers with commas; ConfigError for anything else."""
    mapping = ALE_ACTIONS if text == 'ale' else tuple(int(part) if part.strip().isdecimal() else -1
                                                      for part in text.split(','))
    if not all(0 <= action < num_actions for action in mapping):
        raise ConfigError(f'--action-map {text}: expected ale, or numbers 0 to {num_actions - 1} with commas: the '
                          'place in the list is the number in the source.')
    return mapping


ALE_ACTIONS = (4, 2, 1, 0, 3)  # NOOP, UP, RIGHT, LEFT, DOWN -> ours

