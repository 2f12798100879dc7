"""The steps of a preparation: look into all files, take their rows into shards, join the shards."""

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from motionlab.datasets.amass.files import AmassFile
from motionlab.datasets.amass.manifest import (
    NAME,
    outputs_are_there,
    read_manifest,
    refuse_foreign,
    refuse_other,
    write_manifest,
)
from motionlab.datasets.amass.plan import Plan
from motionlab.datasets.amass.selection import Selection
from motionlab.datasets.amass.shards import FileTask, ScannedFile, assemble_split, extract_rows, scan_file, shard_path
from motionlab.datasets.amass.summary import Reasons, Tally
from motionlab.utils import ConfigError, DataError
from motionlab.utils.worker_pool import map_in_order

SHARDS = '.shards'


def make_folder(folder: Path) -> None:
    """Make a folder unless it is there; ConfigError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f'prepared_dir: {folder} cannot be made: {error.strerror}.') from error


@dataclass
class PreparationRun:
    """One preparation; :meth:`scan`, :meth:`find_earlier`, :meth:`extract` and :meth:`finish` are called in order.

    Args:
        amass_root: Input folder.
        prepared_dir: Output folder.
        selection: Rule for rows.
        family: ``any``, ``smplh`` or ``smplx``.
        skip_errors: Count malformed files instead of stopping at the first.
        pool: Worker processes, or None to work in this one.
        console: For progress.
    """

    amass_root: Path
    prepared_dir: Path
    selection: Selection
    family: str
    skip_errors: bool
    pool: ProcessPoolExecutor | None
    console: Console
    tallies: list[Tally] = field(default_factory=list)
    skipped: Reasons = field(default_factory=Reasons)
    notices: Reasons = field(default_factory=Reasons)
    kept: dict[str, list[tuple[AmassFile, Path, int]]] = field(default_factory=dict)  # split -> file, shard, rows
    stale: set[str] = field(default_factory=set)  # files of another preparation, to be replaced

    @property
    def shards(self) -> Path:
        return self.prepared_dir / SHARDS

    def scan(self, plan: Plan) -> list[list[ScannedFile]]:
        """Look into every file of every planned set; DataError at the first malformed one unless errors are skipped."""
        items = [(self.amass_root, file) for planned in plan.sets for file in planned.files]
        scans = []
        with self._progress() as progress:
            task = progress.add_task('looking into files', total=len(items))
            for scan in map_in_order(self.pool, scan_file, items):
                if scan.problem and not self.skip_errors:
                    raise scan.problem
                scans.append(scan)
                progress.advance(task)
        rest = iter(scans)
        return [list(islice(rest, len(planned.files))) for planned in plan.sets]

    def find_earlier(self, config: dict, inputs: dict[str, str]) -> dict | None:
        """The manifest of the same preparation, if it is complete.

        Raises:
            ConfigError: there is another preparation, or files of unknown origin.
            DataError: the manifest is damaged, or files were skipped then that are errors now.
        """
        manifest = read_manifest(self.prepared_dir)
        if manifest is None:
            refuse_foreign(self.prepared_dir, [f'{split}.npz' for split in config['splits']], self.shards.is_dir())
            return None
        refuse_other(self.prepared_dir, manifest, config, inputs)
        if manifest['skipped'] and not self.skip_errors:
            reason, entry = next(iter(manifest['skipped'].items()))
            raise DataError(self.amass_root / entry['files'][0], reason, f'{entry["count"]} such files left out',
                            'no malformed file', 'Ask again for leaving them out (on_error skip).')
        if not outputs_are_there(self.prepared_dir, manifest):
            return None
        shutil.rmtree(self.shards, ignore_errors=True)  # Of a run that was killed after it had written its manifest.
        return manifest

    def replace_earlier(self) -> None:
        """Have the files of an earlier preparation removed when this one is complete."""
        manifest = read_manifest(self.prepared_dir)
        self.stale = set(manifest['outputs']) if manifest else set()

    def extract(self, plan: Plan, scans: list[list[ScannedFile]]) -> None:
        """Put the rows of every file into its shard; DataError at the first malformed one unless errors are skipped."""
        make_folder(self.shards)
        usable: list[tuple[Tally, ScannedFile]] = []
        for planned, group in zip(plan.sets, scans):
            tally = Tally(planned.split, planned.dataset, found=len(group) + planned.copies, copies=planned.copies)
            tally.subjects = len({scan.file.subject for scan in group if scan.fingerprint})
            self.tallies.append(tally)
            self.kept.setdefault(planned.split, [])
            usable += [(tally, scan) for scan in group if self._is_usable(tally, scan)]
        with self._progress() as progress:
            task = progress.add_task('taking frames', total=len(usable))
            results = map_in_order(self.pool, extract_rows, self._tasks(scan for _, scan in usable))
            for (tally, scan), result in zip(usable, results):
                if result.problem:
                    self._skip(tally, scan, result.problem)
                else:
                    tally.count(scan.header.num_frames, result.num_rows)
                    for notice in result.notices:
                        self.notices.add(notice, scan.file.relative)
                    if result.num_rows:
                        entry = (scan.file, shard_path(self.shards, scan.file), result.num_rows)
                        self.kept[tally.split].append(entry)
                progress.advance(task)

    def report(self) -> dict:
        """Counts and reasons, as the manifest holds them."""
        return {'table': [tally.as_row() for tally in self.tallies], 'skipped': self.skipped.as_dict(),
                'notices': self.notices.as_dict()}

    def finish(self, manifest: dict) -> None:
        """Join the shards; the manifest, with ``outputs`` added, comes last and only then are shards removed."""
        with self._progress() as progress:
            task = progress.add_task('writing splits', total=len(self.kept))
            for split, shards in self.kept.items():
                part = self._part(split)
                rows = assemble_split(part, self.selection, shards)
                manifest['outputs'][f'{split}.npz'] = {'rows': rows, 'files': len(shards), 'bytes': part.stat().st_size}
                progress.advance(task)
        # From here on the old manifest would describe new files.
        (self.prepared_dir / NAME).unlink(missing_ok=True)
        for name in self.stale - manifest['outputs'].keys():
            (self.prepared_dir / name).unlink(missing_ok=True)
        for split in self.kept:
            os.replace(self._part(split), self.prepared_dir / f'{split}.npz')
        write_manifest(self.prepared_dir, manifest)
        shutil.rmtree(self.shards)

    def _part(self, split: str) -> Path:
        return self.shards / f'{split}.joined'

    def _is_usable(self, tally: Tally, scan: ScannedFile) -> bool:
        if scan.problem:
            self._skip(tally, scan, scan.problem)
        elif scan.header is None:
            tally.non_motion += 1
        elif self.family not in ('any', scan.header.family):
            tally.other_family += 1
        else:
            return True
        return False

    def _skip(self, tally: Tally, scan: ScannedFile, problem: DataError) -> None:
        if not self.skip_errors:
            raise problem
        tally.skipped += 1
        self.skipped.add(problem.field, scan.file.relative, f'found {problem.found}, expected {problem.expected}')

    def _tasks(self, scans: Iterator[ScannedFile]) -> Iterator[FileTask]:
        draw = self.selection.make_draw()
        for scan in scans:
            yield FileTask(self.amass_root, scan, self.selection, draw(scan.header.num_frames),
                           shard_path(self.shards, scan.file))

    def _progress(self) -> Progress:
        return Progress(TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                        TimeRemainingColumn(), console=self.console)
