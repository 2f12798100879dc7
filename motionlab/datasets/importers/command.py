"""What the command lines of all importers share: options, progress, summary."""

import argparse
from collections.abc import Callable
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from motionlab.datasets.importers.conversion import SPLITS, ImportClip, ImportJob, convert
from motionlab.utils import ConfigError

Listing = tuple[list[ImportClip], dict[str, int]]  # Clips, and how many files are none, by reason.


def make_parser(description: str, source: str) -> argparse.ArgumentParser:
    """A parser with SRC, DST, ``--frame-step`` and ``--on-error``.

    Args:
        description: Shown by ``--help``.
        source: What SRC is.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('src', type=Path, help=source)
    parser.add_argument('dst', type=Path, help='folder for {train,val,test}.npz, e.g. data/lifting/h36m')
    parser.add_argument('--frame-step', type=int, default=1, help='keep every so many frames (default 1: all)')
    parser.add_argument('--on-error', choices=('error', 'skip'), default='error',
                        help='stop at the first malformed clip (default), or list it and go on')
    return parser


def add_subject_options(parser: argparse.ArgumentParser, **subjects: list[str]) -> None:
    """Add ``--train``, ``--val`` and ``--test`` with the default ``subjects`` of every split."""
    for split in SPLITS:
        default = subjects.get(split, [])
        parser.add_argument(f'--{split}', nargs='*', metavar='SUBJECT', default=default,
                            help=f'subjects of {split}.npz (default: {" ".join(default) or "none"})')


def subject_splits(args: argparse.Namespace) -> dict[str, str]:
    """Split by subject; ConfigError where a subject is named twice or there is none."""
    splits: dict[str, str] = {}
    for split in SPLITS:
        for subject in getattr(args, split):
            if subject in splits:
                raise ConfigError(f'--{split} {subject}: {subject} is in {splits[subject]} already.')
            splits[subject] = split
    if not splits:
        raise ConfigError('--train, --val and --test name no subject.')
    return splits


def run_import(dataset: str, args: argparse.Namespace, list_clips: Callable[[], Listing], settings: dict) -> int:
    """List, convert and report; the exit code.

    Args:
        dataset: Name for records and the report.
        args: Of :func:`make_parser`.
        list_clips: Finds the clips.
        settings: Options that decide the numbers, for ``conversion.json``.
    """
    if args.frame_step < 1:
        raise ConfigError(f'--frame-step {args.frame_step}: expected at least 1.')
    clips, left_out = list_clips()
    job = ImportJob(dataset, args.dst, clips, settings, args.frame_step, args.on_error, left_out)
    console = Console()
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TextColumn('clips'),
               TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(dataset, total=len(clips))
        record = convert(job, lambda: progress.advance(task))
    if record is None:
        console.print(f'{args.dst}: complete already, nothing to do.', markup=False, soft_wrap=True)
    else:
        print_summary(dataset, record, console)
    return 0


def print_summary(dataset: str, record: dict, console: Console) -> None:
    """One row per split, then what was left out or masked, then why clips were skipped."""
    table = Table(title=f'{dataset}, converted in {record["seconds"]:.0f} s', box=SIMPLE)
    for column in ('split', 'clips', 'frames', 'cameras', 'projected S from part, px'):
        table.add_column(column, justify='left' if column == 'split' else 'right')
    for split, found in record['splits'].items():
        table.add_row(split, str(found['clips']), str(found['rows']), str(found['cameras']),
                      f'{found["reprojection_px"]:.3f}')
    console.print(table)
    for why, number in record['counts'].items():
        console.print(f'{why}: {number}', markup=False, highlight=False, soft_wrap=True)
    for name, why in record['skipped'].items():
        console.print(f'skipped {name}: {why}', markup=False, highlight=False, soft_wrap=True)
