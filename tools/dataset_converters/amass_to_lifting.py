"""Motion files to pose-lifting annotations: virtual cameras, simulated detections, simulated monocular depth.

    python tools/dataset_converters/amass_to_lifting.py data/mocap data/lifting --workers 2

SRC holds <set>/<subject>/<name>.npz. Writes DST/<set>/{train,val,test}.npz with *_cameras.npz beside them (the arrays
of auglift's annotation schema), splits.json (which clip went where) and simulation.json (settings and counts). Sets
named by --split-sets are split 80/10/10 by a seeded hash of the clip's name; of the others everything is test.
What a clip becomes depends on its name, the seed and the settings only. Run again after an interruption: finished
clips are kept in DST/<set>/.shards until the set is complete; a complete set with the same settings is left alone.

Effects that --without can switch off: depth-scale, depth-shift, depth-jitter, depth-spatial, depth-bleed (errors of
the depth map), jitter, occlusion, swap, miss, confidence (errors of the detector), surface (depth is read off the
rendered body; without it every depth is the joint's own). --no-noise switches off all of them.
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from motionlab.datasets.simulation.lifting_clip import SimulationConfig
from motionlab.datasets.simulation.lifting_writer import ShardSummary, assemble, write_shard
from motionlab.datasets.simulation.motion_files import SPLITS, MotionClip, list_clips, split_of
from motionlab.datasets.simulation.virtual_cameras import SHIFTED_RIG
from motionlab.engine.cli import run_tool
from motionlab.utils import DataError
from motionlab.utils.worker_pool import open_pool

FORMAT = 2  # Raise it when the same settings give other numbers.
_DEPTH_EFFECTS = {'depth-scale': 'scale', 'depth-shift': 'shift_m', 'depth-jitter': 'jitter',
                  'depth-spatial': 'spatial', 'depth-bleed': 'bleed_px'}
_DETECTOR_EFFECTS = ('jitter', 'occlusion', 'swap', 'miss', 'confidence')
EFFECTS = (*_DEPTH_EFFECTS, *_DETECTOR_EFFECTS, 'surface')


@dataclass(frozen=True)
class Job:
    """One set: where from, where to, how."""

    source: Path
    target: Path
    seed: int
    frame_step: int
    split: bool
    config: SimulationConfig

    def shard(self, name: str) -> Path:
        return self.target / '.shards' / f'{name}.npz'

    def settings(self) -> dict:
        return {'format': FORMAT, 'seed': self.seed, 'frame_step': self.frame_step, 'split': self.split,
                **self.config.as_dict()}

    def fingerprint(self, clip: MotionClip) -> str:
        """Of all that decides a clip's rows; the motion file by size and time, as in make."""
        status = clip.path.stat()
        text = json.dumps([self.settings(), clip.name, status.st_size, status.st_mtime_ns], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def make_config(num_cameras: int, without: list[str], shifted: bool) -> SimulationConfig:
    """Simulation with the effects of ``without`` off, filmed by the rig of a shifted set or the default one."""
    config = SimulationConfig(num_cameras=num_cameras, measure_depth='surface' not in without)
    depth = {field: 0.0 for effect, field in _DEPTH_EFFECTS.items() if effect in without}
    detector = {effect: 0.0 if effect == 'jitter' else False for effect in _DETECTOR_EFFECTS if effect in without}
    return replace(config, depth_noise=replace(config.depth_noise, **depth),
                   detection=replace(config.detection, **detector), rig=SHIFTED_RIG if shifted else config.rig)


def convert_set(job: Job, pool: ProcessPoolExecutor | None, progress: Progress) -> dict | None:
    """Convert one set; returns what simulation.json records, or None when it was complete already."""
    clips = list_clips(job.source)
    prints = {clip.name: job.fingerprint(clip) for clip in clips}
    splits = {clip.name: split_of(clip.name, job.seed) if job.split else SPLITS[2] for clip in clips}
    whole = hashlib.sha256(''.join(prints[clip.name] for clip in clips).encode()).hexdigest()
    record_path = job.target / 'simulation.json'
    if record_path.is_file():
        record = json.loads(record_path.read_text())
        if record['fingerprint'] == whole and all((job.target / name).is_file() for name in record['files']):
            return None

    started = time.monotonic()
    task = progress.add_task(job.source.name, total=len(clips))
    summaries = []
    for summary in _simulate(job, clips, prints, pool):
        summaries.append(summary)
        progress.advance(task)
    skipped = {summary.name: summary.problem for summary in summaries if summary.problem}
    files, rows = [], {}
    for split in SPLITS:
        names = [clip.name for clip in clips if splits[clip.name] == split and clip.name not in skipped]
        target = job.target / f'{split}.npz'
        if names:
            rows[split] = assemble(names, job.shard, target)
            files += [target.name, f'{split}_cameras.npz']
        else:  # Nothing of an earlier conversion may pass for this one's.
            for old in (target, job.target / f'{split}_cameras.npz'):
                old.unlink(missing_ok=True)
    counts = {key: sum(summary.counts[key] for summary in summaries if not summary.problem)
              for key in next((summary.counts for summary in summaries if not summary.problem), {})}
    members = {split: [name for name, where in splits.items() if where == split and name not in skipped]
               for split in SPLITS}
    rule = 'blake2b of "seed:name" modulo 100: 80 train, 10 val, 10 test' if job.split else 'all test'
    _write_json(job.target / 'splits.json', {'seed': job.seed, 'rule': rule, **members})
    record = {'fingerprint': whole, 'files': files, 'settings': job.settings(), 'clips': len(clips) - len(skipped),
              'rows': rows, 'counts': counts, 'skipped': skipped, 'seconds': round(time.monotonic() - started, 1)}
    _write_json(record_path, record)
    shutil.rmtree(job.target / '.shards', ignore_errors=True)
    return record


def _simulate(job: Job, clips: list[MotionClip], prints: dict[str, str],
              pool: ProcessPoolExecutor | None) -> Iterator[ShardSummary]:
    work = partial(_work, job)
    items = [(clip, prints[clip.name]) for clip in clips]
    return map(work, items) if pool is None else pool.map(work, items, chunksize=4)


def _work(job: Job, item: tuple[MotionClip, str]) -> ShardSummary:
    clip, fingerprint = item
    return write_shard(clip, job.shard(clip.name), job.seed, job.frame_step, job.config, fingerprint)


def _write_json(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'{path.name}.tmp')
    part.write_text(json.dumps(content, indent=1))
    os.replace(part, path)


def print_summary(records: dict[str, dict | None]) -> None:
    """One row per set: clips, rows, what is outside, hidden or lost, and why files were skipped."""
    table = Table(title='rows per split; outside, hidden, invalid: % of joints; mean 2D error: px', box=SIMPLE)
    for column in ('set', 'clips', 'skipped', *SPLITS, 'outside', 'hidden', 'invalid', 'error', 'minutes'):
        table.add_column(column, no_wrap=True, justify='left' if column == 'set' else 'right')
    reasons = []
    for name, record in records.items():
        if record is None:
            table.add_row(name, 'already complete')
            continue
        counts, skipped = record['counts'], record['skipped']
        reasons += [f'{name}/{clip}: {why}' for clip, why in skipped.items()]
        joints = counts.get('joints', 0) or 1
        table.add_row(
            name, str(record['clips']), str(len(skipped)), *(str(record['rows'].get(split, 0)) for split in SPLITS),
            *(f'{100 * counts.get(key, 0) / joints:.2f}' for key in ('outside', 'occluded', 'invalid')),
            f'{counts.get("error_px", 0) / (joints - counts.get("outside", 0) or 1):.1f}',
            f'{record["seconds"] / 60:.1f}')
    console = Console()
    console.width = max(console.width, 120)  # Numbers must survive a narrow terminal or a log file.
    console.print(table)
    for reason in reasons:
        console.print(f'skipped {reason}', markup=False)


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('src', type=Path, help='folder with one folder per set, e.g. data/mocap')
    parser.add_argument('dst', type=Path, help='e.g. data/lifting')
    parser.add_argument('--sets', nargs='+', help='sets to convert (default: every folder of SRC)')
    parser.add_argument('--split-sets', nargs='*', default=['bandai2', 'procedural'],
                        help='sets with train, val and test (default: bandai2 procedural)')
    parser.add_argument('--shifted-sets', nargs='*', default=['procedural_shifted'],
                        help='sets filmed from higher and further away (default: procedural_shifted)')
    parser.add_argument('--num-cameras', type=int, default=4, help='cameras per clip (default 4)')
    parser.add_argument('--frame-step', type=int, default=1, help='keep every so many frames (default 1)')
    parser.add_argument('--workers', type=int, default=1, help='processes (default 1)')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--without', nargs='+', default=[], choices=EFFECTS, metavar='EFFECT',
                        help=f'effects to switch off: {", ".join(EFFECTS)}')
    parser.add_argument('--no-noise', action='store_true', help='switch off every effect')
    parser.add_argument('--strict', action='store_true', help='a file that has to be skipped is an error')
    args = parser.parse_args(argv)
    if args.num_cameras < 1 or args.frame_step < 1 or args.workers < 1:
        parser.error('--num-cameras, --frame-step and --workers must be at least 1')
    return args


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    torch.set_num_threads(1)
    found = sorted(path.name for path in args.src.iterdir() if path.is_dir()) if args.src.is_dir() else []
    missing = [name for name in args.sets or [] if name not in found]
    if missing or not found:
        raise DataError(args.src, 'sets', found or 'nothing', missing or 'one folder per set',
                        'Run mocap_to_amass.py or generate_motion.py first.')
    without = list(EFFECTS) if args.no_noise else args.without
    records: dict[str, dict | None] = {}
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TextColumn('clips'),
               TimeElapsedColumn(), TimeRemainingColumn())
    # Forked workers need not import everything again (seconds each), where forking is safe.
    method = 'fork' if sys.platform == 'linux' else 'spawn'
    with open_pool(args.workers, method) as pool, Progress(*columns) as progress:
        for name in args.sets or found:
            config = make_config(args.num_cameras, without, name in args.shifted_sets)
            job = Job(args.src / name, args.dst / name, args.seed, args.frame_step, name in args.split_sets, config)
            records[name] = convert_set(job, pool, progress)
    print_summary(records)
    skipped = sum(len(record['skipped']) for record in records.values() if record)
    if args.strict and skipped:
        raise DataError(args.src, 'motion files', f'{skipped} that could not be used', 'none', 'See the list above.')
    return 0


if __name__ == '__main__':
    run_tool(main)
