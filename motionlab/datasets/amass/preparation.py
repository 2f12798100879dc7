"""From a tree of AMASS files to one memory-mapped file per split: the command and the trainer both call this."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from motionlab.datasets.amass.files import current_name
from motionlab.datasets.amass.manifest import FORMAT, config_hash
from motionlab.datasets.amass.plan import Plan, make_plan
from motionlab.datasets.amass.run import PreparationRun, make_folder
from motionlab.datasets.amass.selection import PoseSelection, Selection
from motionlab.datasets.amass.splits import TEST_SETS, Splits, load_splits
from motionlab.datasets.amass.summary import print_summary, say, share_skipped
from motionlab.utils import ConfigError, DataError
from motionlab.utils.worker_pool import open_pool

_FAMILIES = ('any', 'smplh', 'smplx')


@dataclass(frozen=True)
class AmassPreparation:
    """What to prepare. Relative paths start at the current directory.

    Args:
        amass_root: Folder with one folder per data set, as the archives unpack.
        prepared_dir: Folder to write ``<split>.npz`` and ``manifest.json`` to.
        splits: Name, file or plain values; see :func:`~motionlab.datasets.amass.splits.load_splits`.
        selection: Which frames become rows: :class:`~motionlab.datasets.amass.selection.PoseSelection` or
            :class:`~motionlab.datasets.amass.motions.MotionSelection`.
        family: ``smplh`` or ``smplx`` to use files of one schema only, ``any`` for both. Where one recording is there
            in both, one of them is used (SMPL-X for ``any``), the other counted as a copy.
        on_error: ``error`` stops at the first malformed file; ``skip`` counts it by reason and goes on.
        max_skipped: Largest share of a split's motions that may be skipped.
        workers: Processes. Above 1 a script needs its ``if __name__ == '__main__'`` guard.
        overwrite: Replace data that was prepared with other settings or from other files.
    """

    amass_root: str | Path
    prepared_dir: str | Path
    splits: str | Path | Mapping[str, list] = 'amass'
    selection: Selection = field(default_factory=PoseSelection)
    family: str = 'any'
    on_error: str = 'error'
    max_skipped: float = 0.05
    workers: int = 1
    overwrite: bool = False

    def __post_init__(self):
        if self.family not in _FAMILIES:
            raise ConfigError(f'family={self.family!r}: expected {", ".join(_FAMILIES)}.')
        if self.on_error not in ('error', 'skip'):
            raise ConfigError(f"on_error={self.on_error!r}: expected 'error' or 'skip'.")
        if not 0 <= self.max_skipped <= 1:
            raise ConfigError(f'max_skipped={self.max_skipped}: expected a share from 0 to 1.')
        if self.workers < 1:
            raise ConfigError(f'workers={self.workers}: expected at least 1.')


@dataclass(frozen=True)
class PreparedData:
    """The result.

    Args:
        files: Split -> file; open it with :func:`motionlab.datasets.store.open_npz`.
        manifest: Content of ``manifest.json``: settings, fingerprints of all inputs, table, reasons.
        reused: Whether everything was there already.
    """

    files: dict[str, Path]
    manifest: dict
    reused: bool


def prepare_amass(preparation: AmassPreparation, console: Console | None = None) -> PreparedData:
    """Prepare all splits, or find that they are.

    Rows depend on the settings and on the content of the files only, not on machine, order of the file system or
    number of workers. A killed run loses the files in work; the next one goes on. Memory holds one motion file per
    worker.

    Args:
        preparation: What to do.
        console: Where paths, progress and summary go.

    Raises:
        ConfigError: an option or split is wrong, or ``prepared_dir`` holds something else.
        DataError: a file is malformed (``on_error='error'``), a data set or split is empty, or too much was skipped.
    """
    console = console or Console()
    amass_root, prepared_dir = (Path(os.path.abspath(Path(path).expanduser()))
                                for path in (preparation.amass_root, preparation.prepared_dir))
    say(console, f'amass_root: {amass_root}')
    say(console, f'prepared_dir: {prepared_dir}')
    if prepared_dir.resolve().is_relative_to(amass_root.resolve()):
        raise ConfigError(f'prepared_dir: {prepared_dir} is inside of amass_root, where its files pass for motions.')
    splits = load_splits(preparation.splits)
    plan = make_plan(amass_root, splits, 'smplx' if preparation.family == 'any' else preparation.family)
    preparation.selection.check_files([file.relative for planned in plan.sets for file in planned.files])
    _tell_plan(plan, splits, preparation.selection, console)
    make_folder(prepared_dir)
    config = _config(preparation, splits)
    with _locked(prepared_dir), open_pool(preparation.workers) as pool:
        run = PreparationRun(amass_root, prepared_dir, preparation.selection, preparation.family,
                             preparation.on_error == 'skip', pool, console)
        scans = run.scan(plan)
        inputs = {scan.file.relative: scan.fingerprint for group in scans for scan in group if scan.fingerprint}
        manifest = None
        if preparation.overwrite:
            run.replace_earlier()
        else:
            manifest = run.find_earlier(config, inputs)
        reused = manifest is not None
        if not reused:
            run.extract(plan, scans)
            manifest = {'format': FORMAT, 'config': config, 'config_sha256': config_hash(config), **run.report(),
                        'outputs': {}, 'inputs': inputs}
        print_summary(manifest, console)
        _check_outcome(manifest, preparation, amass_root)
        if not reused:
            run.finish(manifest)
    outputs = ', '.join(f'{name} ({output["rows"]:,} rows)' for name, output in manifest['outputs'].items())
    say(console, f'{prepared_dir}: {"complete already, nothing to do" if reused else "written"}: {outputs}')
    return PreparedData({split: prepared_dir / f'{split}.npz' for split in splits}, manifest, reused)


def _config(preparation: AmassPreparation, splits: Splits) -> dict:
    """Everything that decides the rows, as a manifest gives it back."""
    plain = {'splits': {name: [entry.describe() for entry in entries] for name, entries in splits.items()},
             'family': preparation.family, **preparation.selection.settings()}
    return json.loads(json.dumps(plain))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Two preparations into one folder would delete each other's shards; the lock ends with its process."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ConfigError(f'{folder}: another process is preparing into this folder; wait for it.') from None
    try:
        yield
    finally:
        os.close(descriptor)


def _tell_plan(plan: Plan, splits: Splits, selection: Selection, console: Console) -> None:
    """Warn of test data in training, and name what is there and not used."""
    for entry in splits.get('train', []):
        whose = TEST_SETS[selection.name].get(current_name(entry.dataset))
        if whose:
            say(console, f'warning: train holds {entry.dataset}, a test set of {whose}: results on it mean nothing.',
                'yellow')
    for dataset, count in plan.left_over.items():
        say(console, f'notice: {count} files of {dataset} are in no split')
    if plan.unused:
        say(console, f'notice: in no split: {", ".join(plan.unused)}')


def _check_outcome(manifest: dict, preparation: AmassPreparation, amass_root: Path) -> None:
    """DataError for an empty split, or one of which too much was skipped."""
    for split in manifest['config']['splits']:
        rows = [row for row in manifest['table'] if row['split'] == split]
        if not sum(row['frames_kept'] for row in rows):
            raise DataError(amass_root, f'split {split}', 'no usable frame', 'at least one',
                            'The summary tells what became of its files.')
        share = share_skipped(rows)
        if share > preparation.max_skipped:
            raise DataError(amass_root, f'split {split}', f'{share:.1%} of the motions malformed and skipped',
                            f'at most {preparation.max_skipped:.1%} (max_skipped)',
                            'The summary names reasons and files.')
