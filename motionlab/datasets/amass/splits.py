"""Splits: which data sets, subjects or parts of them train, validate and test.

A split is a list of entries; an entry is a data set, all of it, a range of its subjects, or a part of its recordings.
Splits keep their order, and so do their entries: pose drawing follows it.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from mmengine import Config

from motionlab.datasets.amass.split_entry import SplitEntry
from motionlab.utils import ConfigError

# Test sets that must not be trained on if results are to be compared: selection -> data set -> whose.
TEST_SETS = {'poses': {'Transitions': 'the official AMASS split', 'SSM': 'the official AMASS split'},
             'motions': {'HumanEva': 'PRIMAL', 'SFU': 'PRIMAL'}}


Splits = dict[str, list[SplitEntry]]


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
        raise ConfigError(f'{place}: found {entry!r}, expected a name, or a dict with dataset and subjects or part.')
    pairs = {key: tuple(entry[key]) if isinstance(entry[key], (list, tuple)) else entry[key]
             for key in known[1:] if entry.get(key) is not None}
    return SplitEntry(entry['dataset'], **pairs)
