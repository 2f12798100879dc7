"""What a preparation did, for people: one row per split and data set, every reason for skipping, every notice."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

_COLUMNS = {'subjects': 'subjects', 'found': 'files found', 'used': 'used', 'too_short': 'too short',
            'skipped': 'skipped', 'non_motion': 'no motion', 'copies': 'copies', 'other_family': 'other schema',
            'frames_seen': 'frames seen', 'frames_kept': 'frames kept'}
_EXAMPLES = 5
_MIN_WIDTH = 170  # Numbers must survive a narrow terminal or a log file.


@dataclass
class Tally:
    """Counts of one data set in one split; the files found are those of the six columns after it.

    Args:
        split: Name.
        dataset: Present name.
        subjects: Subjects with a motion.
        found: ``.npz`` files.
        used: Files with rows.
        too_short: Motions too short for a row.
        skipped: Malformed files.
        non_motion: Files that are no motion.
        copies: Second copies of a file, and the same recording in the other schema.
        other_family: Motions of a schema that was not asked for.
        frames_seen: Frames of all sound motions, at their own rates.
        frames_kept: Rows.
    """

    split: str
    dataset: str
    subjects: int = 0
    found: int = 0
    used: int = 0
    too_short: int = 0
    skipped: int = 0
    non_motion: int = 0
    copies: int = 0
    other_family: int = 0
    frames_seen: int = 0
    frames_kept: int = 0

    def count(self, num_frames: int, num_rows: int) -> None:
        """Add a sound motion."""
        self.used += num_rows > 0
        self.too_short += num_rows == 0
        self.frames_seen += num_frames
        self.frames_kept += num_rows

    def as_row(self) -> dict:
        return asdict(self)


@dataclass
class Reasons:
    """How often something happened, and the first files it happened to."""

    counts: dict[str, int] = field(default_factory=dict)
    files: dict[str, list[str]] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, file: str, message: str = '') -> None:
        self.counts[reason] = self.counts.get(reason, 0) + 1
        self.messages.setdefault(reason, message)
        examples = self.files.setdefault(reason, [])
        if len(examples) < _EXAMPLES:
            examples.append(file)

    def as_dict(self) -> dict:
        return {reason: {'count': self.counts[reason], 'first': self.messages[reason], 'files': self.files[reason]}
                for reason in sorted(self.counts)}


def print_summary(manifest: dict, console: Console) -> None:
    """Table, reasons and notices of a manifest."""
    table = Table(title='AMASS preparation', box=SIMPLE)
    table.add_column('split', no_wrap=True)
    table.add_column('data set', no_wrap=True)
    for title in _COLUMNS.values():
        table.add_column(title, justify='right')
    for row in manifest['table']:
        table.add_row(row['split'], row['dataset'], *(f'{row[key]:,}' for key in _COLUMNS))
    table.add_section()
    for split in dict.fromkeys(row['split'] for row in manifest['table']):
        rows = [row for row in manifest['table'] if row['split'] == split]
        table.add_row(split, 'all', *(f'{sum(row[key] for row in rows):,}' for key in _COLUMNS), style='bold')
    wide = console if console.width >= _MIN_WIDTH else Console(file=console.file, width=_MIN_WIDTH)
    wide.print(table)
    for title, entries in (('skipped', manifest['skipped']), ('notice', manifest['notices'])):
        for reason, entry in entries.items():
            detail = f' ({entry["first"]})' if entry['first'] else ''
            say(console, f'{title}: {entry["count"]} x {reason}{detail}: {_examples(entry)}')


def say(console: Console, text: str, style: str | None = None) -> None:
    """One line, unbroken, whatever characters it holds."""
    console.print(text, markup=False, highlight=False, soft_wrap=True, style=style)


def share_skipped(rows: Iterable[dict]) -> float:
    """Malformed files among motions."""
    rows = list(rows)
    motions = sum(row['used'] + row['too_short'] + row['skipped'] for row in rows)
    return sum(row['skipped'] for row in rows) / motions if motions else 0.0


def _examples(entry: dict) -> str:
    more = ', ...' if entry['count'] > len(entry['files']) else ''
    return f'{", ".join(entry["files"])}{more}'
