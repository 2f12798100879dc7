"""Writing recorded games episode by episode: nothing has to fit into memory, and a killed writer can go on."""

import io
import json
import logging
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from motionlab.codecs.frame_batch import ACTION_NAMES, NONE
from motionlab.datasets.frame_store import ENDS, FORMAT, META, FrameStore, file_sha256, open_frame_store
from motionlab.utils import ConfigError, DataError

_JOURNAL = 'journal.jsonl'
_MAKER = 'maker.json'


class FrameStoreWriter:
    """Writes a store of :mod:`motionlab.datasets.frame_store`.

    Everything goes to ``.<folder>.part`` beside the target, which is renamed when complete: a folder that is there is a
    whole store. Episodes that are written stay written. A writer with the same ``maker`` goes on behind them, so a
    maker asks :attr:`num_episodes` which one is next; one with another begins anew.

    Args:
        folder: Target. Must not be there, or be empty.
        height: Of a frame, pixels.
        width: Of a frame, pixels.
        maker: All that decides the content: plain values. Kept in ``meta.json`` as ``maker``.
        fps: Frames per second of play.
        env: ``name``, ``version`` and ``config`` of the game.
        action_names: Names of the actions 0, 1, ...
        with_frames: False for a store of latents alone.

    Attributes:
        num_episodes: Episodes that are written.
        num_frames: Their frames.

    Raises:
        ConfigError: the target is there, or the options make no sense.
    """

    def __init__(self, folder: str | Path, height: int, width: int, *, maker: Mapping, fps: float = 15.0,
                 env: Mapping | None = None, action_names: Sequence[str] = ACTION_NAMES, with_frames: bool = True):
        if min(height, width) < 1 or not 0 < fps < math.inf or not 0 < len(action_names) < NONE:
            raise ConfigError(f'FrameStoreWriter: {height=}, {width=}, {fps=} and {len(action_names)} actions: '
                              f'expected positive numbers and at most {NONE - 1} actions.')
        self.folder = Path(folder)
        refuse_existing(self.folder)
        self._meta = {'format': FORMAT, 'num_frames': 0, 'height': height, 'width': width, 'fps': fps,
                      'action_names': list(action_names), 'env': dict(env or {}), 'maker': dict(maker)}
        self._part = _part(self.folder)
        self._actions: list[np.ndarray] = []
        self._episodes: list[dict] = []
        self._shape = (height, width, 3)
        self.num_frames = 0
        begun = self._part / _MAKER
        if _begun(self.folder) != _plain(self._meta) or not self._is_whole(with_frames):
            shutil.rmtree(self._part, ignore_errors=True)
            self._part.mkdir(parents=True)
            (self._part / _JOURNAL).touch()
            half = begun.with_suffix('.tmp')
            half.write_text(json.dumps(self._meta), encoding='utf-8')
            half.replace(begun)
        self._frames = (self._part / 'frames.npy').open('r+b' if (self._part / 'frames.npy').is_file() else 'w+b') \
            if with_frames else None
        self._header = len(self._npy_header())
        self._go_on()

    @property
    def num_episodes(self) -> int:
        return len(self._episodes)

    def split_frames(self, split: str) -> int:
        """Frames of a split that are written."""
        return sum(len(entry['actions']) + 1 for entry in self._episodes if entry['split'] == split)

    def add_episode(self, frames: np.ndarray | None, actions: np.ndarray, end: str, made_by: Mapping | None = None,
                    split: str | None = None) -> None:
        """Append one episode.

        Args:
            frames: (T + 1, H, W, 3) uint8; None in a store of latents alone.
            actions: (T,), ``actions[k]`` leads from frame k to frame k + 1.
            end: One of :data:`ENDS`.
            made_by: What made it (seed, policy, file ...): plain values.
            split: ``train``, ``val`` ...; None for none.

        Raises:
            DataError: counts differ, an action is out of range, frames are of another size or type, or ``made_by``
                is not plain.
        """
        source, number = self.folder, self.num_episodes
        actions = np.asarray(actions)
        if end not in ENDS:
            raise DataError(source, f'episode {number}: end', repr(end), f'one of {ENDS}')
        if (frames is None) != (self._frames is None):
            raise DataError(source, f'episode {number}: frames', 'none' if frames is None else 'some',
                            'some' if frames is None else 'none')
        check_actions(source, number, actions, len(self._meta['action_names']))
        if frames is not None:
            if len(frames) != len(actions) + 1:
                raise DataError(source, f'episode {number}: frames and actions', f'{len(frames)} frames for '
                                f'{len(actions)} actions', 'one frame more than actions')
            if frames.dtype != np.uint8 or frames.shape[1:] != self._shape:
                raise DataError(source, f'episode {number}: frames', f'{frames.dtype} of shape {frames.shape[1:]}',
                                f'uint8 of shape {self._shape}')
        entry = {'actions': actions.astype(int).tolist(), 'end': ENDS.index(end), 'split': split,
                 'made_by': dict(made_by or {})}
        try:
            line = json.dumps(entry) + '\n'
        except (TypeError, ValueError) as error:
            raise DataError(source, f'episode {number}: made_by', made_by, 'plain values', str(error)) from None
        if frames is not None:
            self._frames.write(np.ascontiguousarray(frames).data)
            self._frames.flush()
        with (self._part / _JOURNAL).open('a', encoding='utf-8') as journal:  # After its frames: it counts them.
            journal.write(line)
        self._append(entry)

    def finish(self, splits: Mapping[str, Sequence[int]] | None = None,
               counts: Mapping[str, int] | None = None) -> FrameStore:
        """Complete the store, put it in its place and open it.

        Args:
            splits: Episodes by split, where they are not known before the end; None for what was said of each.
            counts: What was left out or mended, by what it is; kept in ``meta.json``.

        Raises:
            DataError: no episode was added.
        """
        if not self._episodes:
            raise DataError(self.folder, 'episodes', 'none', 'at least one')
        arrays = {'actions': np.concatenate(self._actions),
                  'offsets': np.cumsum([0, *(len(actions) for actions in self._actions)]).astype(np.int64),
                  'end': np.array([entry['end'] for entry in self._episodes], np.uint8)}
        for name, array in arrays.items():
            np.save(self._part / f'{name}.npy', array)
        if self._frames is not None:
            self._frames.seek(0)
            self._frames.write(self._npy_header())
            self._frames.flush()
            os.fsync(self._frames.fileno())
        self.close()
        names = sorted(path.name for path in self._part.glob('*.npy'))
        meta = {**self._meta, 'num_frames': self.num_frames, 'splits': self._splits() if splits is None else splits,
                'episodes': [entry['made_by'] for entry in self._episodes], 'counts': dict(counts or {}),
                'sha256': {name: file_sha256(self._part / name) for name in names}}
        (self._part / META).write_text(json.dumps(meta), encoding='utf-8')
        for name in (_MAKER, _JOURNAL):  # Without the maker, a writer that comes after a kill begins anew.
            (self._part / name).unlink()
        if self.folder.is_dir():
            self.folder.rmdir()  # Empty, as was checked.
        self._part.rename(self.folder)
        return open_frame_store(self.folder)

    def close(self) -> None:
        """Let go of the file; what is written stays for a writer with the same maker."""
        if self._frames is not None:
            self._frames.close()

    def __enter__(self) -> 'FrameStoreWriter':
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _splits(self) -> dict[str, list[int]]:
        splits: dict[str, list[int]] = {}
        for number, entry in enumerate(self._episodes):
            if entry['split'] is not None:
                splits.setdefault(entry['split'], []).append(number)
        return splits

    def _append(self, entry: dict) -> None:
        actions = np.array([*entry['actions'], NONE], np.uint8)
        self._actions.append(actions)
        self._episodes.append(entry)
        self.num_frames += len(actions)

    def _is_whole(self, with_frames: bool) -> bool:
        """Whether an interrupted writer's journal can be read and its frames are all there; says when they are not."""
        needed = 0
        try:
            frames = sum(len(entry['actions']) + 1 for entry, _ in self._journal())
            if with_frames and frames:
                needed = len(self._npy_header()) + frames * int(np.prod(self._shape))
            if not needed or (self._part / 'frames.npy').stat().st_size >= needed:
                return True
            reason = f'frames.npy is shorter than {needed} bytes'
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = f'{type(error).__name__}: {error}'
        print_log(f'{self._part}: what an interrupted writer left is damaged ({reason}). Writing begins anew.',
                  'current', logging.WARNING)
        return False

    def _journal(self) -> Iterator[tuple[dict, int]]:
        """Entries of whole lines of the journal, and the bytes up to their end."""
        whole = 0
        with (self._part / _JOURNAL).open('rb') as journal:
            for line in journal:
                if line.endswith(b'\n'):
                    whole += len(line)
                    yield json.loads(line), whole

    def _go_on(self) -> None:
        """Read the journal of an interrupted writer; forget frames (and a line) that were half written."""
        whole = 0
        for entry, end in self._journal():
            self._append(entry)
            whole = end
        os.truncate(self._part / _JOURNAL, whole)
        if self._frames is None:
            return
        size = self._header + self.num_frames * int(np.prod(self._shape))
        self._frames.truncate(max(size, self._header))
        self._frames.seek(0, os.SEEK_END)

    def _npy_header(self) -> bytes:
        """Of ``frames.npy``: numpy leaves room for the number of frames to grow, so its length never changes."""
        stream = io.BytesIO()
        np.lib.format.write_array_header_1_0(stream, {'descr': '|u1', 'fortran_order': False,
                                                      'shape': (self.num_frames, *self._shape)})
        return stream.getvalue()


def finished_store(folder: str | Path, maker: Mapping) -> FrameStore | None:
    """The store at ``folder`` where it is there and a writer with this ``maker`` made it; None where nothing is there.

    Raises:
        ConfigError: something else is there; says which settings differ.
    """
    folder = Path(folder)
    if (folder / META).is_file():
        store, maker = open_frame_store(folder), _plain(maker)
        there = store.meta.get('maker', {})
        changed = [f'{key} was {there.get(key)!r}, is {maker.get(key)!r}' for key in sorted(there.keys() | maker.keys())
                   if there.get(key) != maker.get(key)]
        if changed:
            raise ConfigError(f'{folder}: was made with other settings: {"; ".join(changed)}. Choose another folder, '
                              'or delete it to make it again.')
        return store
    refuse_existing(folder)
    return None


def begun_size(folder: str | Path, maker: Mapping) -> tuple[int, int] | None:
    """Height and width of an interrupted store that a writer with this ``maker`` can go on with; None where none is."""
    meta = _begun(Path(folder))
    return (meta['height'], meta['width']) if meta is not None and meta['maker'] == _plain(maker) else None


def _part(folder: Path) -> Path:
    return folder.with_name(f'.{folder.name}.part')


def _begun(folder: Path) -> dict | None:
    path = _part(folder) / _MAKER
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        print_log(f'{path}: {error}. Writing begins anew.', 'current', logging.WARNING)
        return None


def _plain(value: Mapping) -> dict:
    return json.loads(json.dumps(dict(value)))


def refuse_existing(folder: Path) -> None:
    """Raise ConfigError where something is at ``folder`` already."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f'{folder}: is there already. Choose another folder, or delete it to make it again.')


def check_actions(source: str | Path, episode: object, actions: np.ndarray, num_actions: int) -> None:
    """Raise :class:`DataError` for the first of ``actions`` (T,) that is none of ``0 ... num_actions - 1``."""
    if actions.ndim != 1 or (actions.dtype.kind not in 'iu' and len(actions)):
        raise DataError(source, f'episode {episode}: actions', f'{actions.dtype} of shape {actions.shape}',
                        'whole numbers, one per step')
    wrong = (actions < 0) | (actions >= num_actions)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(source, f'episode {episode}, row {row}: action', int(actions[row]), f'0 to {num_actions - 1}',
                        'Number them as action_names, or say how they map.')
