"""Recorded games on disk: frames, actions and episodes in one folder, mapped into memory and shared by all workers.

A folder holds

- ``frames.npy`` uint8 (N, H, W, 3) RGB, all episodes one after the other. Absent where only latents were ever there;
- ``actions.npy`` uint8 (N,): taken on seeing frame k, leading to frame k + 1; 255 on the last frame of every episode;
- ``offsets.npy`` int64 (E + 1,): episode e is rows ``offsets[e]:offsets[e + 1]``, T actions and T + 1 frames;
- ``end.npy`` uint8 (E,): how it ended, 0 cut, 1 terminated, 2 truncated;
- ``meta.json``: size, frames per second, names of actions, the environment, what made every episode, splits, sha256.

Latents of the frames lie beside them (:mod:`motionlab.datasets.latent_cache`).
"""

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from motionlab.codecs.frame_batch import NONE
from motionlab.datasets.store import open_npy
from motionlab.utils import DataError

FORMAT = 1
META = 'meta.json'
ENDS = ('cut', 'terminated', 'truncated')
_KEYS = {'format': int, 'num_frames': int, 'height': int, 'width': int, 'fps': (int, float), 'action_names': list,
         'env': dict, 'episodes': list, 'splits': dict, 'sha256': dict}
_ARRAYS = {'actions': (np.uint8, 1), 'offsets': (np.int64, 1), 'end': (np.uint8, 1)}
_MAKE = ('Make it with tools/dataset_converters/record_maze_game.py, record_atari.py or import_frames.py.')
_AGAIN = 'The folder is damaged, or somebody changed it by hand: record or import it again.'


@dataclass(frozen=True)
class FrameStore:
    """A recorded game. Send it to another process freely: only its path travels.

    Args:
        path: The folder.
        frames: (N, H, W, 3) uint8, mapped; None where the store has latents only.
        actions: (N,) uint8.
        offsets: (E + 1,) int64.
        end: (E,) uint8, positions in :data:`ENDS`.
        meta: Content of ``meta.json``: ``num_frames``, ``height``, ``width``, ``fps``, ``action_names``, ``env``
            (``name``, ``version``, ``config``), ``episodes`` (what made each: seed, policy, file ...), ``splits`` (name
            -> episodes), ``sha256`` of every array and what the maker added.
    """

    path: Path
    frames: np.ndarray | None
    actions: np.ndarray
    offsets: np.ndarray
    end: np.ndarray
    meta: dict

    def __len__(self) -> int:
        """N frames."""
        return int(self.offsets[-1])

    def __reduce__(self):
        return open_frame_store, (self.path,)

    @property
    def num_episodes(self) -> int:
        return len(self.end)

    @property
    def lengths(self) -> np.ndarray:
        """(E,) frames of each episode."""
        return np.diff(self.offsets)

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.meta['height'], self.meta['width']

    def episode(self, number: int) -> slice:
        """Rows of one episode."""
        return slice(int(self.offsets[number]), int(self.offsets[number + 1]))

    def episode_of(self, rows: np.ndarray) -> np.ndarray:
        """Number of the episode of each row, same shape."""
        return np.searchsorted(self.offsets, rows, side='right') - 1

    def split_episodes(self, name: str) -> np.ndarray:
        """(n,) int64 episodes of a split, ``'all'`` for every one.

        Raises:
            DataError: there is no such split.
        """
        if name == 'all':
            return np.arange(self.num_episodes)
        if name not in self.meta['splits']:
            raise DataError(self.path / META, 'splits', f'only {sorted(self.meta["splits"])}', f"'{name}', or 'all'")
        return np.array(self.meta['splits'][name], dtype=np.int64)


def open_frame_store(folder: str | Path, verify: bool = False) -> FrameStore:
    """Map a store into memory and check it.

    Sizes, offsets, actions, splits and the checksums of everything but the frames are always checked: this takes
    milliseconds.

    Args:
        folder: The store.
        verify: Compare the checksum of the frames too, which reads them all.

    Raises:
        DataError: something is missing, damaged, or contradicts something else; says what, where and what to do.
    """
    folder = Path(folder)
    meta = _read_meta(folder)
    arrays = {}
    for name, (dtype, ndim) in _ARRAYS.items():
        array = open_npy(folder / f'{name}.npy')
        if array.dtype != dtype or array.ndim != ndim:
            raise DataError(folder / f'{name}.npy', 'array', f'{array.dtype} of shape {array.shape}',
                            f'{np.dtype(dtype)} with {ndim} dimension', _AGAIN)
        arrays[name] = np.array(array)  # A few bytes per frame: in memory, aligned.
    check_episodes(folder, arrays['actions'], arrays['offsets'], arrays['end'], len(meta['action_names']))
    total = int(arrays['offsets'][-1])
    if total != meta['num_frames']:
        raise DataError(folder / META, 'num_frames', meta['num_frames'], f'{total}, as offsets.npy', _AGAIN)
    _check_meta_episodes(folder / META, meta, len(arrays['end']))
    frames = None
    if 'frames.npy' in meta['sha256']:
        frames = open_npy(folder / 'frames.npy')
        _check_frames(folder / 'frames.npy', frames, total, meta)
    elif (folder / 'frames.npy').exists():
        raise DataError(folder / META, 'sha256', 'none of frames.npy, which is there', 'one checksum per array of the '
                        'store', _AGAIN)
    for name in meta['sha256']:
        if (verify or name != 'frames.npy') and file_sha256(folder / name) != meta['sha256'][name]:
            raise DataError(folder / name, 'sha256', 'another checksum', f'{meta["sha256"][name]} ({META})', _AGAIN)
    return FrameStore(folder, frames, **arrays, meta=meta)


def check_episodes(source: str | Path, actions: np.ndarray, offsets: np.ndarray, end: np.ndarray,
                   num_actions: int) -> None:
    """Raise :class:`DataError` naming the first episode and row whose numbers contradict each other.

    Args:
        source: For the message.
        actions: (N,) of all frames.
        offsets: (E + 1,).
        end: (E,).
        num_actions: How many actions there are.
    """
    total, count = len(actions), len(end)
    if len(offsets) != count + 1 or count == 0 or offsets[0] != 0 or (np.diff(offsets) < 1).any():
        raise DataError(source, 'offsets', f'{len(offsets)} numbers for {count} episodes',
                        'at least one episode, one number more than episodes, from 0 on, growing', _AGAIN)
    if offsets[-1] != total:
        raise DataError(source, f'frames and actions, episode {count - 1}', f'{total} actions',
                        f'{offsets[-1]}, one per frame, as offsets', _AGAIN)
    if end.max() >= len(ENDS):
        episode = int(np.argmax(end >= len(ENDS)))
        raise DataError(source, f'episode {episode}: end', int(end[episode]), f'0 to {len(ENDS) - 1} {ENDS}', _AGAIN)
    last = np.zeros(total, dtype=bool)
    last[offsets[1:] - 1] = True
    wrong = np.where(last, actions != NONE, actions >= num_actions)                        # (N,)
    if wrong.any():
        row = int(np.argmax(wrong))
        episode = int(np.searchsorted(offsets, row, side='right')) - 1
        raise DataError(source, f'episode {episode}, row {row - offsets[episode]}: action', int(actions[row]),
                        f'{NONE} on the last frame of an episode' if last[row] else f'0 to {num_actions - 1}', _AGAIN)


def file_sha256(path: Path) -> str:
    """Checksum of a file's bytes."""
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def _read_meta(folder: Path) -> dict:
    path = folder / META
    if not folder.is_dir():
        raise DataError(folder, 'folder', 'nothing at this path', 'a recorded game', _MAKE)
    if not path.is_file():
        raise DataError(folder, META, f'only {sorted(file.name for file in folder.iterdir())[:5]}',
                        f'{META}, the last file a recorder writes', f'It was interrupted, or is no store. {_MAKE}')
    try:
        meta = json.loads(path.read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:
        raise DataError(path, 'content', f'{type(error).__name__}: {error}', 'JSON', _AGAIN) from None
    for key, kind in _KEYS.items():
        found = meta.get(key) if isinstance(meta, dict) else None
        if not isinstance(found, kind) or isinstance(found, bool):
            raise DataError(path, key, repr(found), 'a number' if kind is not list and kind is not dict else
                            f'a {kind.__name__}', _AGAIN)
    if meta['format'] != FORMAT:
        raise DataError(path, 'format', meta['format'], FORMAT, 'It was made by another version of MotionLab.')
    for key in ('height', 'width', 'fps'):
        if not 0 < meta[key] < math.inf:
            raise DataError(path, key, meta[key], 'a positive number', _AGAIN)
    if not 0 < len(meta['action_names']) < NONE or not all(isinstance(name, str) for name in meta['action_names']):
        raise DataError(path, 'action_names', meta['action_names'], f'1 to {NONE - 1} names', _AGAIN)
    missing = [f'{name}.npy' for name in _ARRAYS if f'{name}.npy' not in meta['sha256']]
    unknown = sorted(meta['sha256'].keys() - {f'{name}.npy' for name in (*_ARRAYS, 'frames')})
    if missing or unknown:
        raise DataError(path, 'sha256', f'{sorted(meta["sha256"])}', 'one checksum per array of the store', _AGAIN)
    return meta


def _check_frames(path: Path, frames: np.ndarray, total: int, meta: dict) -> None:
    height, width = meta['height'], meta['width']
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise DataError(path, 'array', f'{frames.dtype} of shape {frames.shape}', f'uint8 of shape ({total}, {height}, '
                        f'{width}, 3)', _AGAIN)
    if len(frames) != total:
        raise DataError(path, 'frames', len(frames), f'{total}, one per action', _AGAIN)
    found = frames.shape[1:3]
    if found != (height, width):
        swapped = ' Width and height are swapped.' if found == (width, height) else ''
        raise DataError(path, 'frame size', f'{found[0]} high, {found[1]} wide', f'{height} high, {width} wide, as '
                        f'{META} says', _AGAIN + swapped)


def _check_meta_episodes(path: Path, meta: dict, count: int) -> None:
    """Splits name episodes that are there, each once; every episode says what made it."""
    if len(meta['episodes']) != count:
        raise DataError(path, 'episodes', f'{len(meta["episodes"])} entries', f'{count}, one per episode', _AGAIN)
    owner: dict[int, str] = {}
    for name, numbers in meta['splits'].items():
        if not isinstance(numbers, list):
            raise DataError(path, f'splits: {name}', repr(numbers), 'a list of episodes', _AGAIN)
        for number in numbers:
            if type(number) is not int or not 0 <= number < count:
                raise DataError(path, f'splits: {name}', repr(number), f'episodes 0 to {count - 1}', _AGAIN)
            if number in owner:
                raise DataError(path, f'splits: {name}', f'episode {number}, which is in {owner[number]} already',
                                'every episode in one split', _AGAIN)
            owner[number] = name
