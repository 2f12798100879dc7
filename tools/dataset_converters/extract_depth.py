"""Monocular depth at detected joints: images + 2D detections -> the depth arrays of a lifting annotation.

    python tools/dataset_converters/extract_depth.py IMAGES DETECTIONS DST --model MODEL --keypoint-format coco17
    python tools/dataset_converters/extract_depth.py IMAGES DETECTIONS DST --model MODEL --keypoint-format coco17 \\
        --annotation data/h36m/train.npz

IMAGES is a folder or a video file, DETECTIONS what mmpose's inferencer wrote (a .json file, or a folder of one per
image) or an .npz, MODEL a local folder of a metric Depth Anything model. Without --annotation DST gets a row per image
and can be given to the inferencer; with it DST is a copy with the keys of detections and depth added or replaced, rows
found by image name, and the camera file beside it is copied along. DST may be the annotation itself.

Run again after an interruption: finished stretches of rows are kept in DST.shards until all is done; a complete DST
with the same inputs and settings is left alone. DST.depth.json records settings and counts.
"""

import argparse
import hashlib
import json
import os
import shutil
import time
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from motionlab.apis.depth_estimator import DepthEstimator
from motionlab.apis.depth_extraction import (
    FEATURES_KEY,
    SHARD_COUNTS,
    DepthRows,
    DepthSettings,
    extract_depth,
    join_rows,
)
from motionlab.datasets.detections import KEYPOINT_FORMATS, load_detections
from motionlab.datasets.feature_maps import SAMPLING_MODES
from motionlab.datasets.image_frames import ImageFrames
from motionlab.datasets.joint_depth import DEPTH_RULES, JOINT_DEPTH_SHAPES, joint_depth_keys
from motionlab.datasets.npz_writer import write_member
from motionlab.datasets.store import open_npz, require_keys
from motionlab.engine.cli import print_table, run_tool
from motionlab.utils import DataError

FORMAT = 1  # Raise it when the same settings give other numbers.
_SHARD_ROWS = 256


@dataclass(frozen=True)
class Job:
    """What is measured, how, and where it goes."""

    frames: ImageFrames
    rows: DepthRows
    target: Path
    settings: DepthSettings
    model: Path
    annotation: Path | None

    @property
    def parts(self) -> list[slice]:
        total = len(self.rows.names)
        return [slice(start, min(start + _SHARD_ROWS, total)) for start in range(0, total, _SHARD_ROWS)]

    @property
    def keys(self) -> tuple[str, ...]:
        """Arrays that the shards hold and DST gets."""
        return joint_depth_keys(self.settings.rule) + ((FEATURES_KEY,) if self.settings.features else ())

    @cached_property
    def record(self) -> dict:
        """Settings as DST.depth.json tells them."""
        files = [file for file in sorted(self.model.glob('*')) if file.suffix in ('.json', '.safetensors')]
        return {'format': FORMAT, 'rule': self.settings.rule,
                'seed': self.settings.seed if self.settings.rule == 'casp' else None,
                'features': self.settings.features, 'model': [_stamp(file) for file in files]}

    def shard(self, part: slice) -> Path:
        return self.target.with_name(f'{self.target.name}.shards') / f'{part.start:08d}.npz'

    def fingerprint(self, part: slice) -> str:
        """Of all that decides the numbers of some rows; pictures by size and time, as in make."""
        digest = hashlib.sha256(json.dumps(self.record, sort_keys=True).encode())
        stamps = [self.frames.stamp(int(frame)) if frame >= 0 else None for frame in self.rows.frame[part]]
        digest.update(json.dumps([self.rows.names[part], stamps]).encode())
        for array in (self.rows.keypoints_px, self.rows.confidence, self.rows.valid):
            digest.update(np.ascontiguousarray(array[part]).tobytes())
        return digest.hexdigest()


def make_job(args: argparse.Namespace) -> Job:
    """Open everything and join it; nothing is written."""
    frames = ImageFrames(args.images)
    names = None
    if args.annotation is not None:
        arrays = open_npz(args.annotation, verify=('imgname',))
        require_keys(args.annotation, arrays, ('imgname',))
        names = arrays['imgname'].astype(str).tolist()
    detections = load_detections(args.detections, args.keypoint_format)
    rows = join_rows(frames, detections, args.detections, names, args.missing_images)
    settings = DepthSettings(args.rule, args.seed, args.features, args.batch_size)
    annotation = None if args.annotation is None else args.annotation.resolve()
    return Job(frames, rows, args.dst.resolve(), settings, args.model, annotation)


def run_job(job: Job, device: str) -> dict | None:
    """Measure what is not measured yet and write DST; returns what was recorded, or None when DST was complete."""
    prints = [job.fingerprint(part) for part in job.parts]
    outside = [] if job.annotation in (None, job.target) else [_stamp(job.annotation)]
    whole = hashlib.sha256(json.dumps([prints, outside]).encode()).hexdigest()
    record_path = job.target.with_name(f'{job.target.name}.depth.json')
    if _is_complete(job, record_path, whole):
        return None
    started = time.monotonic()
    todo = [(part, text) for part, text in zip(job.parts, prints) if not _is_kept(job.shard(part), text)]
    kept = len(job.rows.names) - sum(part.stop - part.start for part, _ in todo)
    estimator = DepthEstimator(job.model, device, job.settings.features is not None) if todo else None
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TextColumn('rows'),
               TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task(job.target.name, total=len(job.rows.names), completed=kept)
        for part, text in todo:
            arrays = extract_depth(job.frames, job.rows, part, estimator, job.settings,
                                   lambda done: progress.advance(task, done))
            _save(job.shard(part), fingerprint=np.array(text), **arrays)
    dropped = assemble(job)
    totals = sum(_read(job.shard(part), 'counts') for part in job.parts)
    counts = {**job.rows.counts, **{reason: int(number) for reason, number in zip(SHARD_COUNTS, totals) if number}}
    record = {'fingerprint': whole, 'settings': job.record, 'rows': len(job.rows.names),
              'rows kept from an earlier run': kept, 'counts': counts, 'dropped keys': dropped,
              'seconds': round(time.monotonic() - started, 1)}
    _replace(record_path, lambda part: part.write_text(json.dumps(record, indent=1)))
    shutil.rmtree(job.shard(job.parts[0]).parent)
    return record


def assemble(job: Job) -> list[str]:
    """Write DST from the shards, one of which is in memory at a time; returns the annotation's keys left out."""
    rows, total = job.rows, len(job.rows.names)
    arrays: dict[str, np.ndarray] = {}
    if job.annotation is None:
        arrays = {'imgname': np.array(rows.names), 'image_size': _common_size(job)}
    else:
        arrays = dict(open_npz(job.annotation))
    # Descriptors of another rule would contradict the new ones.
    dropped = [key for key in arrays if key in JOINT_DEPTH_SHAPES and key not in job.keys]
    arrays = {key: value for key, value in arrays.items() if key not in (*dropped, *job.keys)}
    arrays |= {'predicted_keypoints': rows.keypoints_px, 'predicted_keypoints_score': rows.confidence,
               'predicted_valid': rows.valid}
    with np.load(job.shard(job.parts[0]), allow_pickle=False) as first:
        layout = {key: (first[key].dtype, (total, *first[key].shape[1:])) for key in job.keys}

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, 'w', zipfile.ZIP_STORED) as archive:
            for key, value in arrays.items():
                write_member(archive, key, value.dtype, value.shape, [value])
            for key, (dtype, shape) in layout.items():
                write_member(archive, key, dtype, shape, (_read(job.shard(part), key) for part in job.parts))

    _replace(job.target, write)
    if job.annotation not in (None, job.target):
        cameras = job.annotation.with_name(f'{job.annotation.stem}_cameras.npz')
        if cameras.is_file():
            _replace(job.target.with_name(f'{job.target.stem}_cameras.npz'),
                     lambda path: shutil.copyfile(cameras, path))
    return dropped


def _common_size(job: Job) -> np.ndarray:
    """(2,) width and height of all pictures that were read."""
    sizes = np.concatenate([_read(job.shard(part), 'image_size') for part in job.parts])
    known = np.flatnonzero(sizes.any(1))
    if not known.size:
        raise DataError(job.frames.path, 'detections', 'none in any picture', 'a person in at least one')
    other = known[(sizes[known] != sizes[known[0]]).any(1)]
    if other.size:
        raise DataError(job.frames.path, f'picture {job.rows.names[other[0]]}', f'{sizes[other[0]].tolist()} px',
                        f'{sizes[known[0]].tolist()} px as in {job.rows.names[known[0]]}',
                        'Without --annotation all pictures must come from one camera.')
    return sizes[known[0]]


def _is_complete(job: Job, record_path: Path, fingerprint: str) -> bool:
    if not (record_path.is_file() and job.target.is_file()):
        return False
    keys = set(open_npz(job.target, verify=()))
    return json.loads(record_path.read_text()).get('fingerprint') == fingerprint and keys >= set(job.keys)


def _is_kept(path: Path, fingerprint: str) -> bool:
    return path.is_file() and str(_read(path, 'fingerprint')) == fingerprint


def _stamp(file: Path) -> tuple[str, int, int]:
    status = file.stat()
    return file.name, status.st_size, status.st_mtime_ns


def _read(path: Path, key: str) -> np.ndarray:
    with np.load(path, allow_pickle=False) as data:
        return data[key]


def _save(path: Path, **arrays: np.ndarray) -> None:
    def write(part: Path) -> None:
        with part.open('wb') as file:
            np.savez(file, **arrays)

    _replace(path, write)


def _replace(path: Path, write) -> None:
    """Write a file that appears only when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'{path.name}.tmp')
    write(part)
    os.replace(part, path)


def print_summary(job: Job, record: dict | None) -> None:
    if record is None:
        print(f'{job.target}: already complete')
        return
    table = Table(title=str(job.target))
    table.add_column('what')
    table.add_column('number', justify='right')
    table.add_row('rows', str(record['rows']))
    table.add_row('rows kept from an earlier run', str(record['rows kept from an earlier run']))
    table.add_row('rows without a detection', str(int((~job.rows.valid.any(1)).sum())))
    for reason, number in record['counts'].items():
        table.add_row(reason, str(number))
    for key in record['dropped keys']:
        table.add_row(f'dropped {key}, made by another rule', '1')
    table.add_row('minutes', f'{record["seconds"] / 60:.1f}')
    print_table(table)


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('images', type=Path, help='folder of images, or a video file')
    parser.add_argument('detections', type=Path, help='.json, folder of .json files, or .npz')
    parser.add_argument('dst', type=Path, help='.npz to write')
    parser.add_argument('--model', type=Path, required=True, help='folder of a metric Depth Anything model')
    parser.add_argument('--keypoint-format', required=True, choices=KEYPOINT_FORMATS, help='joints of DETECTIONS')
    parser.add_argument('--annotation', type=Path, help='.npz with imgname to add depth to')
    parser.add_argument('--rule', choices=DEPTH_RULES, default='paper',
                        help="what the descriptors hold: the paper's disk or the published code's random samples")
    parser.add_argument('--seed', type=int, default=0, help='of the random samples of --rule casp')
    parser.add_argument('--features', nargs='?', const=SAMPLING_MODES[0], choices=SAMPLING_MODES,
                        help=f'store {FEATURES_KEY} too (default mode: {SAMPLING_MODES[0]})')
    parser.add_argument('--missing-images', choices=('error', 'skip'), default='error')
    parser.add_argument('--batch-size', type=int, default=4, help='images per forward pass (default 4)')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    args = parser.parse_args(argv)
    if args.batch_size < 1:
        parser.error('--batch-size must be at least 1')
    if args.dst.suffix != '.npz':
        parser.error('DST must end in .npz')
    return args


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    job = make_job(args)
    print_summary(job, run_job(job, args.device))
    return 0


if __name__ == '__main__':
    run_tool(main)
