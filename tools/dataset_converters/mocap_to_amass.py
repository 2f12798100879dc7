"""Motion capture (Bandai Namco BVH, CMU ASF/AMC and BVH) to AMASS-style SMPL-X npz files.

    python tools/dataset_converters/mocap_to_amass.py SRC data/mocap --workers 2

SRC is a folder with the .tar.xz archives as they are (at any depth), a folder with unpacked files, or one archive.
Writes DST/<set>/<subject>/<name>.npz (keys: motionlab/datasets/mocap/motion_file.py) and DST/manifest.json. Run
again after an interruption: finished archives and files are not converted twice.
"""

import argparse
import json
import multiprocessing
import os
import queue
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from motionlab.datasets.mocap.archives import SETS, RawClip, find_sources, iterate_clips, source_sha256, source_size
from motionlab.datasets.mocap.clip import resample
from motionlab.datasets.mocap.motion_file import load_motion, motion_arrays, save_motion
from motionlab.datasets.mocap.smplx_conversion import clip_to_smplx
from motionlab.utils import DataError
from motionlab.utils.worker_pool import end_with_parent

FORMAT = 1  # Raise it when the same source gives other numbers: old output is then refused, not mixed in.


@dataclass(frozen=True)
class Job:
    """What to do with one source."""

    source: Path
    destination: Path
    sets: tuple[str, ...]
    fps: float
    limit: int | None
    skip_errors: bool


@dataclass
class Outcome:
    """What became of one source; stored in the manifest."""

    sha256: str
    sets: list[str]
    limit: int | None
    clips: list[dict] = field(default_factory=list)        # output, set, frames, fps, error_mm
    skipped: list[dict] = field(default_factory=list)      # file, set, reason
    reused: Counter = field(default_factory=Counter)       # clips per set that an earlier run had converted

    def covers(self, job: Job, sha256: str) -> bool:
        """Whether the source has been converted as ``job`` asks and every output is still there."""
        return (self.sha256 == sha256 and self.sets == list(job.sets) and self.limit == job.limit
                and (job.skip_errors or not self.skipped)
                and all((job.destination / clip['output']).is_file() for clip in self.clips))


def convert_clip(raw: RawClip, fps: float) -> dict[str, np.ndarray]:
    """All keys of the motion file of one recording; DataError for whatever is malformed."""
    motion = clip_to_smplx(resample(raw.parse(), fps))
    label = raw.label
    texts = {'subject': label.subject, 'action': label.action, 'style': label.style, 'clip_id': label.clip_id,
             'source_file': raw.file, 'source_sha256': raw.sha256()}
    return {**motion_arrays(motion), 'error_mm': np.float64(motion.error_mm),
            **{key: np.array(text) for key, text in texts.items()}}


def convert_source(job: Job, advance: Callable[[int], None]) -> Outcome:
    """Convert every wanted clip of one archive or folder; ``advance`` is told the bytes read so far."""
    torch.set_num_threads(1)  # Workers share the cores; one clip is too small to split.
    outcome = Outcome(source_sha256(job.source), list(job.sets), job.limit)
    for raw in islice(iterate_clips(job.source, job.sets, advance), job.limit):
        try:
            if isinstance(raw, DataError):
                raise raw
            _convert_file(raw, job, outcome)
        except DataError as error:
            if not job.skip_errors:
                raise
            kind = '-' if isinstance(raw, DataError) else raw.label.set_name
            outcome.skipped.append({'file': str(error.file), 'set': kind, 'reason': str(error)})
    return outcome


def _convert_file(raw: RawClip, job: Job, outcome: Outcome) -> None:
    output = job.destination / raw.label.set_name / raw.label.subject / f'{raw.label.name}.npz'
    arrays = _finished(output, raw)
    if arrays is None:
        arrays = convert_clip(raw, job.fps)
        save_motion(output, arrays)
    else:
        outcome.reused[raw.label.set_name] += 1
    outcome.clips.append({'output': output.relative_to(job.destination).as_posix(), 'set': raw.label.set_name,
                          'frames': len(arrays['poses']), 'fps': float(arrays['mocap_frame_rate']),
                          'error_mm': round(float(arrays['error_mm']), 3)})


def _finished(output: Path, raw: RawClip) -> dict[str, np.ndarray] | None:
    """The output of an earlier run from the same bytes, or None."""
    if not output.is_file():
        return None
    arrays = load_motion(output)
    return arrays if str(arrays.get('source_sha256')) == raw.sha256() else None


class Manifest:
    """DST/manifest.json: parameters, and what became of every source; written after each of them."""

    def __init__(self, destination: Path, fps: float):
        self.path = destination / 'manifest.json'
        self.parameters = {'format': FORMAT, 'fps': fps}
        self.sources: dict[str, dict] = {}
        if self.path.is_file():
            self._read()

    def _read(self) -> None:
        try:
            found = json.loads(self.path.read_text())
            parameters, self.sources = found['parameters'], found['sources']
            for entry in self.sources.values():
                Outcome(**entry)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(self.path, 'content', f'{type(error).__name__}: {error}', 'the manifest of this converter',
                            'Delete the folder or choose another DST.') from None
        if parameters != self.parameters:
            raise DataError(self.path, 'parameters', parameters, self.parameters,
                            'DST holds another conversion: delete it or choose another DST.')

    def outcome(self, name: str) -> Outcome | None:
        return Outcome(**self.sources[name]) if name in self.sources else None

    def record(self, name: str, outcome: Outcome) -> None:
        entry = asdict(outcome)
        del entry['reused']  # The same conversion gives the same manifest, in one run or in several.
        self.sources[name] = entry
        self.write()

    def write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix('.tmp')
        content = {'parameters': self.parameters, 'sources': self.sources}
        temporary.write_text(json.dumps(content, indent=1, sort_keys=True))
        temporary.replace(self.path)


def run(args: argparse.Namespace, console: Console) -> list[Outcome]:
    """Convert all sources below ``args.src``; DataError at the first bad file unless errors are skipped."""
    sources = find_sources(args.src)
    manifest = Manifest(args.dst, args.fps)
    manifest.write()  # Before any output, so that an interrupted run cannot be continued with other parameters.
    names = {source: source.relative_to(args.src).as_posix() if source != args.src else source.name
             for source in sources}
    jobs, outcomes = [], {}
    for source in sources:
        job = Job(source, args.dst, tuple(args.sets), args.fps, args.limit, args.on_error == 'skip')
        earlier = manifest.outcome(names[source])
        if earlier is not None and earlier.covers(job, source_sha256(source)):
            earlier.reused = Counter(clip['set'] for clip in earlier.clips)
            outcomes[source] = earlier
        else:
            jobs.append(job)

    columns = (TextColumn('{task.description}'), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task('converting', total=sum(source_size(job.source) for job in jobs))
        read: dict[Path, int] = {}

        def show(source: Path, count: int) -> None:
            read[source] = count
            progress.update(task, completed=sum(read.values()))

        convert = _convert_in_pool if args.workers > 0 else _convert_here
        for job, outcome in convert(jobs, args.workers, show):
            outcomes[job.source] = outcome
            manifest.record(names[job.source], outcome)
            show(job.source, source_size(job.source))
    ordered = [outcomes[source] for source in sources]
    _refuse_duplicates(ordered, args.src)
    return ordered


def _convert_here(jobs, _workers, show):
    for job in jobs:
        yield job, convert_source(job, lambda count, job=job: show(job.source, count))


def _convert_in_pool(jobs, workers, show):
    # Spawned, not forked: torch's threads do not survive a fork.
    context = multiprocessing.get_context('spawn')
    messages = context.Queue()
    with ProcessPoolExecutor(workers, context, initializer=_adopt_queue, initargs=(messages,)) as pool:
        running = {pool.submit(_convert_and_tell, job): job for job in jobs}
        try:
            while running:
                done, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
                while True:
                    try:
                        show(*messages.get_nowait())
                    except queue.Empty:
                        break
                for future in done:
                    yield running.pop(future), future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_messages = None  # The queue of the parent, in a worker.


def _adopt_queue(messages) -> None:
    global _messages
    _messages = messages
    threading.Thread(target=end_with_parent, daemon=True).start()


def _convert_and_tell(job: Job) -> Outcome:
    return convert_source(job, lambda count: _messages.put((job.source, count)))


def _refuse_duplicates(outcomes: list[Outcome], root: Path) -> None:
    counts = Counter(clip['output'] for outcome in outcomes for clip in outcome.clips)
    repeated = [output for output, count in counts.items() if count > 1]
    if repeated:
        raise DataError(root, 'clips', f'{len(repeated)} of them in two sources, such as {repeated[0]}',
                        'every clip once', 'Remove the second copy (an unpacked archive beside the archive?).')


def print_summary(outcomes: list[Outcome], sets: list[str], console: Console) -> None:
    """Files used and skipped per set, and every reason for skipping."""
    table = Table(title='Motion capture converted')
    for column in ('set', 'clips', 'frames', 'minutes', 'already there', 'skipped', 'error mean / max (mm)'):
        table.add_column(column, justify='left' if column == 'set' else 'right')
    reused = sum((outcome.reused for outcome in outcomes), Counter())
    skipped = [entry for outcome in outcomes for entry in outcome.skipped]
    for name in sets:
        clips = [clip for outcome in outcomes for clip in outcome.clips if clip['set'] == name]
        errors = [clip['error_mm'] for clip in clips]
        table.add_row(name, str(len(clips)), str(sum(clip['frames'] for clip in clips)),
                      f'{sum(clip["frames"] / clip["fps"] for clip in clips) / 60:.1f}', str(reused[name]),
                      str(sum(entry['set'] == name for entry in skipped)),
                      f'{np.mean(errors):.2f} / {max(errors):.2f}' if errors else '-')
    console.print(table)
    for entry in skipped:
        console.print(f'skipped: {entry["reason"]}', markup=False)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('src', type=Path, help='folder with archives or unpacked files, or one archive')
    parser.add_argument('dst', type=Path, help='output folder, such as data/mocap')
    parser.add_argument('--workers', type=int, default=os.cpu_count(), help='processes; 0 converts in this one')
    parser.add_argument('--fps', type=float, default=30.0, help='frames per second of the output')
    parser.add_argument('--sets', nargs='+', choices=SETS, default=list(SETS))
    parser.add_argument('--on-error', choices=('error', 'skip'), default='error',
                        help='stop at the first bad file, or list it and go on')
    parser.add_argument('--limit', type=int, help='only the first LIMIT clips of every archive or folder')
    args = parser.parse_args(argv)
    if not args.fps > 0 or args.workers < 0 or (args.limit is not None and args.limit < 1):
        parser.error('--fps and --limit must be positive, --workers at least 0')
    return args


def main(argv: list[str] | None = None) -> int:
    args, console = parse_args(argv), Console()
    try:
        outcomes = run(args, console)
    except (DataError, BrokenProcessPool) as error:
        console.print(f'error: {error}', markup=False, style='red')
        console.print('Nothing that was finished is lost: run again to continue, or with --on-error skip to leave bad '
                      'files out.')
        return 1
    print_summary(outcomes, args.sets, console)
    if not any(outcome.clips for outcome in outcomes):
        console.print(f'error: no clip of {", ".join(args.sets)} below {args.src}', markup=False, style='red')
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
