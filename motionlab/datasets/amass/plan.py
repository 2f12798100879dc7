"""Which file goes to which split: every one once, in the defined order."""

from dataclasses import dataclass, field
from pathlib import Path

from motionlab.datasets.amass.files import (
    PATTERN,
    AmassFile,
    archive_hint,
    current_name,
    find_files,
    list_datasets,
    what_is_there,
)
from motionlab.datasets.amass.split_entry import SplitEntry
from motionlab.datasets.amass.splits import Splits
from motionlab.utils import DataError


@dataclass
class PlannedSet:
    """Files of one data set in one split.

    Args:
        split: Name.
        dataset: Present name.
        files: In order.
        copies: How many further copies were left out.
    """

    split: str
    dataset: str
    files: list[AmassFile] = field(default_factory=list)
    copies: int = 0


@dataclass
class Plan:
    """All sets in order, and what belongs to none.

    Args:
        sets: Split after split, data set after data set.
        left_over: Data set -> files that are in no split, for data sets of which some are.
        unused: Data sets that no split names.
    """

    sets: list[PlannedSet]
    left_over: dict[str, int]
    unused: list[str]


def make_plan(amass_root: Path, splits: Splits, prefer: str = 'smplx') -> Plan:
    """Assign files to splits.

    Args:
        amass_root: Folder of the data sets.
        splits: What goes where.
        prefer: Family that is kept where one recording exists in both schemas.

    Raises:
        DataError: a split names a data set that is not there (says what is, and which archives wait to be unpacked),
            one without any motion file, an entry no file belongs to, or a file belongs to two splits or twice to one.
    """
    datasets = list_datasets(amass_root)
    named = {current_name(entry.dataset): None for entries in splits.values() for entry in entries}
    missing = [name for name in named if name not in datasets]
    if missing:
        raise DataError(amass_root, 'splits', f'no data set {", ".join(missing)}', f'one of {", ".join(datasets)}',
                        archive_hint(amass_root))
    files, copies = {}, {}
    for name in named:
        files[name], copies[name] = find_files(amass_root, name, datasets[name], prefer)
        if all(file.named_other for file in files[name]):
            there = '; '.join(f'{folder.name}: {what_is_there(folder)}' for folder in datasets[name])
            raise DataError(amass_root, f'files {PATTERN.replace("<data set>", name)}', f'no motion in {there}',
                            'motions, *_poses.npz or *_stageii.npz', archive_hint(amass_root, *datasets[name]))
    owner: dict[str, str] = {}
    sets = [_fill(amass_root, PlannedSet(split, current_name(entry.dataset)), entry, files, copies, owner)
            for split, entries in splits.items() for entry in entries]
    left_over = {name: sum(file.relative not in owner for file in files[name])
                 + sum(not any(current_name(entry.dataset) == name and entry.holds(file)
                               for entries in splits.values() for entry in entries) for file in copies[name])
                 for name in named}
    return Plan(sets, {name: count for name, count in left_over.items() if count},
                [name for name in datasets if name not in named])


def _fill(amass_root: Path, planned: PlannedSet, entry: SplitEntry, files: dict[str, list[AmassFile]],
          copies: dict[str, list[AmassFile]], owner: dict[str, str]) -> PlannedSet:
    for file in files[planned.dataset]:
        if entry.holds(file):
            if file.relative in owner:
                raise DataError(amass_root / file.relative, 'splits', f'{owner[file.relative]} and {planned.split}',
                                'each file in one split, once')
            owner[file.relative] = planned.split
            planned.files.append(file)
    # A part may be empty by chance; whether the split is empty shows in the end.
    if entry.part is None and all(file.named_other for file in planned.files):
        subjects = sorted({file.subject for file in files[planned.dataset]})
        raise DataError(amass_root, f'splits: {planned.split}', f'no motion for {entry.describe()}',
                        f'some of the subjects {", ".join(subjects[:20])}{", ..." if len(subjects) > 20 else ""}')
    planned.copies = sum(entry.holds(file) for file in copies[planned.dataset])
    return planned
