"""Splits: which data sets, subjects or parts of them train, validate and test.

A split is a list of entries; an entry is a data set, all of it, a range of its subjects, or a part of its recordings.
Splits keep their order, and so do their entries: pose drawing follows it.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from mmengine import Config

from motionlab.datasets.amass.files import AmassFile, current_name
from motionlab.utils import ConfigError

# Test sets that must not be trained on if results are to be compared: data set -> whose.
POSE_TEST_SETS = {'Transitions': 'the AMASS split', 'SSM': 'the AMASS split'}
MOTION_TEST_SETS = {'HumanEva': 'PRIMAL', 'SFU': 'PRIMAL'}


@dataclass(frozen=True)
class SplitEntry:
    """A data set, or some of it.

    Args:
        dataset: Name, present or old.
        subjects: First and last number of the subjects' folders (``rub001`` is 1), both included.
        part: Recordings whose place in [0, 1) lies in [low, high). The place is a hash of data set, subject and name
            without ``_poses`` or ``_stageii``, so it is the same everywhere and in both schemas.
    """

    dataset: str
    subjects: tuple[int, int] | None = None
    part: tuple[float, float] | None = None

    def __post_init__(self):
        if self.subjects is not None:
            _check_pair(self, 'subjects', int)
        if self.part is not None:
            _check_pair(self, 'part', (int, float))
            if not 0 <= self.part[0] < self.part[1] <= 1:
                raise ConfigError(f'splits: {self.dataset}: part={self.part}, expected 0 <= low < high <= 1.')

    def holds(self, file: AmassFile) -> bool:
        """Whether a file of this data set belongs to the entry."""
        if self.subjects is not None:
            number = subject_number(file.subject)
            if number is None or not self.subjects[0] <= number <= self.subjects[1]:
                return False
        return self.part is None or self.part[0] <= place_of(file) < self.part[1]

    def describe(self) -> dict:
        """Plain values for records; what is not set is left out."""
        fields = {**asdict(self), 'dataset': current_name(self.dataset)}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in fields.items() if value}


Splits = dict[str, list[SplitEntry]]


def subject_number(subject: str) -> int | None:
    """The last number in the name of a subject's folder: ``rub001`` -> 1."""
    digits = re.findall(r'\d+', subject)
    return int(digits[-1]) if digits else None


def place_of(file: AmassFile) -> float:
    """Where a recording lies in [0, 1): the first 48 bits of the SHA-256 of its name."""
    return int.from_bytes(hashlib.sha256(file.motion.encode()).digest()[:6], 'big') / 2**48


def _whole(*datasets: str) -> list[SplitEntry]:
    return [SplitEntry(dataset) for dataset in datasets]


def _bmlrub(first: int, last: int) -> SplitEntry:
    return SplitEntry('BMLrub', subjects=(first, last))


def _parts(low: float, high: float, *datasets: str) -> list[SplitEntry]:
    return [SplitEntry(dataset, part=(low, high)) for dataset in datasets]


_PRIMAL_TRAIN = ('ACCAD', 'BMLmovi', 'BMLrub', 'CMU', 'DFaust', 'EyesJapanDataset', 'HDM05', 'PosePrior', 'SOMA',
                 'MoSh', 'SSM')
_MOCAP = ('bandai2', 'cmu', 'bandai1')

NAMED_SPLITS: dict[str, Splits] = {
    # Notebooks and READMEs of nghorbani/amass and nghorbani/human_body_prior.
    'amass': {
        'vald': _whole('HumanEva', 'HDM05', 'SFU', 'MoSh'),
        'test': _whole('Transitions', 'SSM'),
        'train': _whole('CMU', 'PosePrior', 'TotalCapture', 'EyesJapanDataset', 'KIT', 'BMLrub', 'EKUT', 'TCDHands',
                        'ACCAD')},
    # Data of the published VPoser V02_05; the ranges are those of nghorbani/soma, subject 115 put to vald.
    'v02_05': {
        'test': [_bmlrub(68, 91)],
        'train': [SplitEntry('CMU'), _bmlrub(1, 67)],
        'vald': [_bmlrub(92, 115)]},
    # The same data sets with equal thirds of 37 subjects.
    'bmlrub_thirds': {
        'test': [_bmlrub(1, 39)],
        'train': [SplitEntry('CMU'), _bmlrub(40, 76)],
        'vald': [_bmlrub(77, 115)]},
    # PRIMAL's data sets, with its random 95/5 made reproducible.
    'primal': {
        'train': _parts(0, 0.95, *_PRIMAL_TRAIN),
        'vald': _parts(0.95, 1, *_PRIMAL_TRAIN),
        'test': _whole('HumanEva', 'SFU')},
    # Motion capture of tools/dataset_converters/mocap_to_amass.py.
    'mocap': {
        'train': _parts(0, 0.9, *_MOCAP),
        'vald': _parts(0.9, 0.95, *_MOCAP),
        'test': _parts(0.95, 1, *_MOCAP)},
}


def load_splits(source: str | Path | Mapping[str, list]) -> Splits:
    """Splits by name, from a file, or from plain values.

    Args:
        source: A name of :data:`NAMED_SPLITS`; a ``.py`` or ``.json`` file that defines ``splits``; or what such a
            file defines: split -> list of data set names and ``dict(dataset=..., subjects=(1, 67), part=(0, 0.9))``.

    Raises:
        ConfigError: no such name or file, an unknown key, a value out of range, or a data set twice in one place.
    """
    if isinstance(source, str) and source in NAMED_SPLITS:
        return NAMED_SPLITS[source]
    content, place = (source, 'splits') if isinstance(source, Mapping) else (_read(source), str(source))
    if not isinstance(content, Mapping) or not content:
        raise ConfigError(f'{place}: found {type(content).__name__}, expected splits: name -> list of entries.')
    splits: Splits = {}
    for name, entries in content.items():
        if not re.fullmatch(r'[A-Za-z0-9_-]+', str(name)):
            raise ConfigError(f"{place}: split {name!r}: expected a name of letters, digits, '_' and '-'.")
        if isinstance(entries, str) or not isinstance(entries, (list, tuple)) or not entries:
            raise ConfigError(f'{place}: split {name}: found {entries!r}, expected a list of data sets.')
        splits[name] = [_entry(entry, f'{place}: split {name}') for entry in entries]
        repeated = [entry for i, entry in enumerate(splits[name]) if entry.describe() in
                    [other.describe() for other in splits[name][:i]]]
        if repeated:
            raise ConfigError(f'{place}: split {name}: {repeated[0].dataset} is listed twice.')
    return splits


def _read(source: str | Path) -> object:
    path = Path(source).expanduser()
    if path.suffix not in ('.py', '.json') or not path.is_file():
        raise ConfigError(f'splits {str(source)!r}: no such name or file; names are {", ".join(NAMED_SPLITS)}, files '
                          f"end in .py or .json and define 'splits'.")
    try:
        content = Config.fromfile(path, lazy_import=False).to_dict()
    except (OSError, SyntaxError, ValueError, NameError, TypeError, ImportError, KeyError, AttributeError) as error:
        raise ConfigError(f'{path}: cannot be read: {type(error).__name__}: {error}') from error
    if 'splits' not in content:
        raise ConfigError(f"{path}: found {sorted(content)}, expected 'splits'.")
    return content['splits']


def _entry(entry: object, place: str) -> SplitEntry:
    if isinstance(entry, SplitEntry):
        return entry
    if isinstance(entry, str):
        return SplitEntry(entry)
    known = ('dataset', 'subjects', 'part')
    if not isinstance(entry, Mapping) or 'dataset' not in entry or not set(entry) <= set(known):
        raise ConfigError(f'{place}: found {entry!r}, expected a name or a dict with dataset and any of subjects, part.')
    pairs = {key: tuple(entry[key]) if isinstance(entry[key], (list, tuple)) else entry[key]
             for key in known[1:] if entry.get(key) is not None}
    return SplitEntry(entry['dataset'], **pairs)


def _check_pair(entry: SplitEntry, key: str, kind: type | tuple[type, ...]) -> None:
    value = getattr(entry, key)
    if not isinstance(value, tuple) or len(value) != 2 or not all(isinstance(end, kind) for end in value) \
            or value[0] > value[1]:
        raise ConfigError(f'splits: {entry.dataset}: {key}={value!r}, expected (low, high).')
