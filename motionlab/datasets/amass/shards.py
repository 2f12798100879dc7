"""The work on single files, for worker processes: look at a file, take its rows, join the rows of a split.

The rows of a file lie in a shard of its own until its split is complete: a killed run keeps what was finished.
"""

import hashlib
import json
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from motionlab.datasets.amass.archive import MotionArchive
from motionlab.datasets.amass.files import AmassFile
from motionlab.datasets.amass.schema import MotionHeader, holds_motion, read_header
from motionlab.datasets.amass.selection import Selection
from motionlab.datasets.npz_writer import write_member
from motionlab.utils import DataError
from motionlab.utils.array_file import READ_ERRORS


@dataclass(frozen=True)
class ScannedFile:
    """What a file says of itself.

    Args:
        file: The file.
        fingerprint: Of its content; empty where it is no motion.
        header: None where it is no motion, or malformed.
        problem: Why it cannot be used, if so.
    """

    file: AmassFile
    fingerprint: str = ''
    header: MotionHeader | None = None
    problem: DataError | None = None


def scan_file(item: tuple[Path, AmassFile]) -> ScannedFile:
    """Look into a file below ``amass_root`` without decompressing its motion."""
    amass_root, file = item
    if file.named_other:
        return ScannedFile(file)
    fingerprint = 'unreadable'
    try:
        with MotionArchive(amass_root / file.relative) as archive:
            fingerprint = archive.fingerprint()
            if file.named_family is None and not holds_motion(archive):
                return ScannedFile(file)
            return ScannedFile(file, fingerprint, read_header(archive))
    except DataError as error:
        return ScannedFile(file, fingerprint, problem=error)


@dataclass(frozen=True)
class FileTask:
    """Rows to take from one file.

    Args:
        amass_root: Folder of all files.
        scanned: The file.
        selection: The rule.
        frames: Drawn frames, or None.
        shard: File to write.
    """

    amass_root: Path
    scanned: ScannedFile
    selection: Selection
    frames: np.ndarray | None
    shard: Path

    def fingerprint(self) -> str:
        """Of everything that decides the rows."""
        facts = [self.selection.settings(), self.scanned.file.relative, self.scanned.fingerprint]
        drawn = b'' if self.frames is None else self.frames.astype('<i8').tobytes()
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode() + drawn).hexdigest()


@dataclass(frozen=True)
class FileResult:
    """What became of a task: rows in its shard, or a problem."""

    num_rows: int = 0
    notices: list[str] = field(default_factory=list)
    problem: DataError | None = None


def shard_path(work_dir: Path, file: AmassFile) -> Path:
    """Where the rows of a file wait for the end of the run."""
    return work_dir / f'{hashlib.sha256(file.relative.encode()).hexdigest()[:32]}.npz'


def extract_rows(task: FileTask) -> FileResult:
    """Write the shard of a file unless an earlier run has; its arrays are the only ones in memory."""
    fingerprint = task.fingerprint()
    finished = _finished(task.shard, fingerprint)
    if finished:
        return finished
    try:
        with MotionArchive(task.amass_root / task.scanned.file.relative) as archive:
            selected = task.selection.select(archive, task.scanned.header, task.scanned.file.relative, task.frames)
    except DataError as error:
        return FileResult(problem=error)
    num_rows = len(next(iter(selected.rows.values())))
    part = task.shard.with_name(f'{task.shard.name}.{os.getpid()}.tmp')
    with part.open('wb') as file:
        np.savez(file, fingerprint=np.array(fingerprint), num_rows=np.array(num_rows),
                 notices=np.array(selected.notices, np.dtype('<U120')), **selected.facts, **selected.rows)
    os.replace(part, task.shard)
    return FileResult(num_rows, selected.notices)


def _finished(path: Path, fingerprint: str) -> FileResult | None:
    """What an earlier run made of the same task."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as shard:
            same = str(shard['fingerprint']) == fingerprint
            return FileResult(int(shard['num_rows']), shard['notices'].tolist()) if same else None
    except READ_ERRORS:  # A machine that lost its power can leave a shard without content: its rows are taken again.
        return None


def assemble_split(target: Path, selection: Selection, shards: list[tuple[AmassFile, Path, int]]) -> int:
    """Join shards into ``target``, one of them in memory at a time; it can be memory-mapped.

    Args:
        target: File to write; no half file takes its name.
        selection: Whose fields are written, with ``files``, ``datasets``, ``subjects`` (S,), for single rows also
            ``file_id`` (M,).
        shards: File, shard and number of rows, at least one, in order.

    Returns:
        Number of rows, M.
    """
    counts = np.array([rows for *_, rows in shards])
    total, num_files = int(counts.sum()), len(shards)
    part = target.with_name(f'{target.name}.tmp')
    with zipfile.ZipFile(part, 'w', zipfile.ZIP_STORED) as archive:
        for key, (dtype, shape) in selection.row_fields.items():
            write_member(archive, key, np.dtype(dtype), (total, *shape), _members(shards, key))
        for key, (dtype, shape) in selection.fact_fields.items():
            pieces = (fact[None] for fact in _members(shards, key))
            write_member(archive, key, np.dtype(dtype), (num_files, *shape), pieces)
        if selection.rows_are_single:
            ids = (np.full(rows, index) for index, rows in enumerate(counts))
            write_member(archive, 'file_id', np.dtype(np.int32), (total,), ids)
        texts = {'files': 'relative', 'datasets': 'dataset', 'subjects': 'subject'}
        small = {key: np.array([getattr(file, name) for file, *_ in shards]) for key, name in texts.items()}
        for key, array in {**small, **selection.tables(counts)}.items():
            write_member(archive, key, array.dtype, array.shape, [array])
    os.replace(part, target)
    return total


def _members(shards: list[tuple[AmassFile, Path, int]], key: str) -> Iterator[np.ndarray]:
    for _, path, _ in shards:
        with np.load(path, allow_pickle=False) as shard:
            yield shard[key]
