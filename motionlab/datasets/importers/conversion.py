"""From the clips of a published data set to annotation files: resumable, clip by clip, checked when complete.

Every clip becomes a shard in ``<target>/.shards``; complete splits are joined from shards, checked by the reader of the
training path, and recorded with all counts in ``<target>/conversion.json``.
"""

import functools
import hashlib
import json
import os
import shutil
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from motionlab.datasets.importers.clip_rows import ClipView, camera_entry, view_rows
from motionlab.datasets.lifting_annotation import load_lifting_annotation
from motionlab.datasets.lifting_inputs import LiftingInputs
from motionlab.datasets.npz_writer import write_member
from motionlab.utils import DataError

FORMAT = 1  # Raise it when the same files and settings give other numbers.
SPLITS = ('train', 'val', 'test')


@dataclass(frozen=True)
class ImportClip:
    """A piece of a data set that is read, kept or skipped as a whole.

    Args:
        name: Unique; also a file name.
        split: ``train``, ``val`` or ``test``.
        files: Everything that is read for it.
        load: Reads its views; DataError where they are malformed.
    """

    name: str
    split: str
    files: tuple[Path, ...]
    load: Callable[[], list[ClipView]]


@dataclass(frozen=True)
class ImportJob:
    """What to make of a data set.

    Args:
        dataset: Name for records, e.g. ``Human3.6M``.
        target: Folder to write.
        clips: What it consists of.
        settings: Everything else that decides the numbers; plain values.
        frame_step: Keep every so many frames.
        on_error: ``'error'`` or ``'skip'``: what happens to malformed clips.
        left_out: How many files were not even looked at, by reason.
    """

    dataset: str
    target: Path
    clips: list[ImportClip]
    settings: dict
    frame_step: int
    on_error: str
    left_out: dict[str, int]

    def shard(self, clip: ImportClip) -> Path:
        return self.target / '.shards' / f'{clip.name}.npz'

    def record_settings(self) -> dict:
        return {'format': FORMAT, 'dataset': self.dataset, 'frame_step': self.frame_step, **self.settings}

    def fingerprint(self, clip: ImportClip) -> str:
        """Of all that decides the rows of ``clip``; files by size and time, as in make."""
        stamps = [(path.name, *_stamp(path)) for path in clip.files]
        text = json.dumps([self.record_settings(), clip.name, clip.split, stamps], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def convert(job: ImportJob, advance: Callable[[], None]) -> dict | None:
    """Write ``<target>/{train,val,test}.npz`` with ``_cameras.npz`` beside them, for splits that have clips.

    Args:
        job: What to do; ``advance`` is called after every clip.

    Returns:
        What ``conversion.json`` records, or None when the same conversion was complete already.

    Raises:
        DataError: A clip is malformed and ``on_error`` is ``'error'``, no clip is left, or the result breaks the format
            of annotations (unit, projection and shape checks of :func:`load_lifting_annotation`).
    """
    names = Counter(clip.name for clip in job.clips)
    if not names or max(names.values()) > 1:
        found = f'{names.most_common(1)[0][0]} twice' if names else 'no clip'
        raise DataError(job.target.name or job.dataset, f'clips of {job.dataset}', found, 'distinct clips',
                        'Is SRC the folder that the documentation of this converter names?')
    prints = {clip.name: job.fingerprint(clip) for clip in job.clips}
    whole = hashlib.sha256(''.join(sorted(prints.values())).encode()).hexdigest()
    record_path = job.target / 'conversion.json'
    if record_path.is_file() and _complete(job, record_path, whole):
        return None

    started = time.monotonic()
    counts, skipped, reprojection = Counter(job.left_out), {}, {split: [] for split in SPLITS}
    for clip in job.clips:
        try:
            found = _shard_counts(job, clip, prints[clip.name])
        except DataError as error:
            if job.on_error == 'error':
                raise
            skipped[clip.name] = str(error)
        else:
            reprojection[clip.split].append(found.pop('reprojection'))
            counts.update(found)
        advance()
    if len(skipped) == len(job.clips):
        raise DataError(job.target, 'clips', f'all {len(skipped)} malformed', 'at least one usable',
                        f'The first: {next(iter(skipped.values()))}')
    files, splits = [], {}
    for split in SPLITS:
        clips = [clip for clip in job.clips if clip.split == split and clip.name not in skipped]
        summary = _assemble([job.shard(clip) for clip in clips], job.target / f'{split}.npz')
        if summary:
            splits[split] = {**summary, 'reprojection_px': round(float(np.mean(reprojection[split])), 4)}
            files += [f'{split}.npz', f'{split}_cameras.npz']
            _check(job.target / f'{split}.npz', summary['detected'])
    record = {'fingerprint': whole, 'files': files, 'settings': job.record_settings(), 'splits': splits,
              'counts': {why: int(number) for why, number in counts.items() if number}, 'skipped': skipped,
              'seconds': round(time.monotonic() - started, 1)}
    part = record_path.with_name(f'{record_path.name}.tmp')
    part.write_text(json.dumps(record, indent=1))
    os.replace(part, record_path)
    shutil.rmtree(job.target / '.shards', ignore_errors=True)
    return record


def read_once(read: Callable[[Path], object]) -> Callable[[Path], object]:
    """``read`` that keeps the last file's content, for files that hold several clips; a changed file is read anew."""
    kept = functools.lru_cache(maxsize=1)(lambda path, _stamp: read(path))
    return functools.wraps(read)(lambda path: kept(path, _stamp(path)))


def _stamp(path: Path) -> tuple[int, int]:
    if not path.is_file():
        return 0, 0
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _complete(job: ImportJob, record_path: Path, fingerprint: str) -> bool:
    """Whether an earlier run did all that ``job`` asks for."""
    try:
        record = json.loads(record_path.read_text())
        files, same, skipped = record['files'], record['fingerprint'] == fingerprint, record['skipped']
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(record_path, 'content', f'{type(error).__name__}: {error}', 'the record of a conversion',
                        'Delete it, or choose another DST.') from None
    return same and all((job.target / name).is_file() for name in files) and not (skipped and job.on_error == 'error')


def _shard_counts(job: ImportJob, clip: ImportClip, fingerprint: str) -> dict[str, float]:
    """Counts of a clip, whose shard is there afterwards; a finished shard with the same fingerprint is kept."""
    path = job.shard(clip)
    if path.is_file():
        with np.load(path, allow_pickle=False) as data:
            if str(data['fingerprint']) == fingerprint:
                return json.loads(str(data['counts']))
    views = clip.load()
    pieces, total = [], Counter()
    for view in views:
        rows, counts = view_rows(view, job.frame_step)
        pieces.append(rows)
        total.update(counts)
    total['reprojection'] /= max(len(views), 1)
    rows = {key: np.concatenate([piece[key] for piece in pieces]) for key in pieces[0]}
    entries = [camera_entry(view, job.frame_step) for view in views]
    cameras = {f'camera_{key}': np.stack([entry[key] for entry in entries]) for key in entries[0]}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'{path.name}.tmp')
    with part.open('wb') as file:
        np.savez(file, fingerprint=np.array(fingerprint), counts=np.array(json.dumps(total)),
                 clips=np.array(len(views)), names=np.array([view.camera_name for view in views]), **cameras, **rows)
    os.replace(part, path)
    return total


def _assemble(shards: list[Path], target: Path) -> dict[str, int] | None:
    """Join shards into ``target`` and its camera file, one shard in memory at a time; returns what they hold.

    Without a row nothing is written, and what an earlier conversion left is removed.
    """
    camera_target = target.with_name(f'{target.stem}_cameras.npz')
    layout, lengths, cameras, width, clips = {}, [], {}, 1, 0
    for shard in shards:
        with np.load(shard, allow_pickle=False) as data:
            names = data['imgname']
            lengths.append(len(names))
            if not len(names):
                continue
            clips += int(data['clips'])
            width = max(width, names.dtype.itemsize // 4)
            found = {key: (data[key].dtype, data[key].shape[1:]) for key in data.files if key not in
                     ('fingerprint', 'counts', 'clips', 'names', 'imgname') and not key.startswith('camera_')}
            layout = layout or found
            keys = [key for key in data.files if key.startswith('camera_')]
            for i, name in enumerate(data['names'].tolist()):
                entry = {key.removeprefix('camera_'): data[key][i] for key in keys}
                first = cameras.setdefault(name, entry)
                same = first.keys() == entry.keys() and all(np.array_equal(first[key], entry[key]) for key in first)
                if not same or found != layout:
                    raise DataError(shard, f'camera {name}' if not same else 'keys', 'other values than in the clips '
                                    'before' if not same else sorted(found), 'one camera of this name'
                                    if not same else sorted(layout))
    total = sum(lengths)
    if not total:
        for old in (target, camera_target):
            old.unlink(missing_ok=True)
        return None
    shards = [shard for shard, length in zip(shards, lengths) if length]
    part = target.with_name(f'{target.name}.tmp')
    with zipfile.ZipFile(part, 'w', zipfile.ZIP_STORED) as archive:
        for key, (dtype, shape) in {'imgname': (np.dtype(f'<U{width}'), ()), **layout}.items():
            write_member(archive, key, dtype, (total, *shape), (_read(shard, key) for shard in shards))
    with camera_target.open('wb') as file:
        np.savez(file, camera_name=np.array(list(cameras)),
                 **{key: np.stack([entry[key] for entry in cameras.values()]) for key in next(iter(cameras.values()))})
    os.replace(part, target)
    return {'clips': clips, 'rows': total, 'cameras': len(cameras), 'detected': 'predicted_keypoints' in layout}


def _check(target: Path, detected: bool) -> None:
    """Open what was written as training does."""
    load_lifting_annotation(target, inputs=LiftingInputs(detected=False))
    if detected:
        load_lifting_annotation(target, inputs=LiftingInputs(with_depth=False))


def _read(shard: Path, key: str) -> np.ndarray:
    with np.load(shard, allow_pickle=False) as data:
        return data[key]
