"""Data sets of an AMASS folder and their files, whatever the archives unpacked to."""

import os
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from motionlab.utils import DataError

ALIASES = {
    'BioMotionLab_NTroje': 'BMLrub', 'BML': 'BMLrub', 'MPI_Limits': 'PosePrior', 'MPI_HDM05': 'HDM05',
    'MPI_mosh': 'MoSh', 'SSM_synced': 'SSM', 'Transitions_mocap': 'Transitions', 'TCD_handMocap': 'TCDHands',
    'Eyes_Japan_Dataset': 'EyesJapanDataset', 'DFaust_67': 'DFaust',
}
PATTERN = '<data set>/**/*.npz'
_MOTION_SUFFIXES = {'_stageii.npz': 'smplx', '_poses.npz': 'smplh'}
_ARCHIVES = ('.tar.bz2', '.tar.gz', '.tgz', '.tar.xz', '.tar', '.zip')


def current_name(name: str) -> str:
    """The present name of a data set; older releases spell some differently."""
    return ALIASES.get(name, name)


@dataclass(frozen=True)
class AmassFile:
    """An ``.npz`` file of a data set.

    Args:
        dataset: Present name.
        relative: Path from ``amass_root``, with '/'.
        key: Path from the data set's own folder, without a nested ``<dataset>/<dataset>``.
        subject: Folder that holds the file's recordings.
    """

    dataset: str
    relative: str
    key: str
    subject: str

    @property
    def motion(self) -> str:
        """``<dataset>/<subject>/<name>`` without the suffix of the schema: one recording, however often it is there."""
        for suffix in (*_MOTION_SUFFIXES, '.npz'):
            if self.key.endswith(suffix):
                return f'{self.dataset}/{self.key.removesuffix(suffix)}'
        return f'{self.dataset}/{self.key}'

    @property
    def named_family(self) -> str | None:
        """Family that a motion's name promises; None for names that promise nothing."""
        return next((family for suffix, family in _MOTION_SUFFIXES.items() if self.key.endswith(suffix)), None)

    @property
    def named_other(self) -> bool:
        """Whether the name says that this is no motion: shapes, and what begins with a dot."""
        name = PurePosixPath(self.key).name
        return name.startswith('.') or name == 'shape.npz' or name.endswith('_stagei.npz')


def list_datasets(amass_root: Path) -> dict[str, list[Path]]:
    """Folders below ``amass_root`` by the present name of the data set.

    Raises:
        DataError: there is no such folder, or none in it; says what is there.
    """
    if not amass_root.is_dir():
        raise DataError(amass_root, 'amass_root', 'no folder at this path', 'the folder that holds the data sets',
                        f'Relative paths start at the current directory, {Path.cwd()}.')
    datasets: dict[str, list[Path]] = {}
    for folder in sorted(amass_root.iterdir()):
        if folder.is_dir() and not folder.name.startswith('.'):
            datasets.setdefault(current_name(folder.name), []).append(folder)
    if not datasets:
        raise DataError(amass_root, f'files {PATTERN}', what_is_there(amass_root), 'one folder per data set',
                        archive_hint(amass_root))
    return datasets


def find_files(amass_root: Path, dataset: str, folders: list[Path], prefer: str = 'smplx') -> tuple[
        list[AmassFile], list[AmassFile]]:
    """All ``.npz`` files of a data set, and those that are there twice.

    Args:
        amass_root: Folder that paths are relative to.
        dataset: Present name.
        folders: Of :func:`list_datasets`; an old and a new name may both be there.
        prefer: Family that is kept where one recording exists in both.

    Returns:
        Files in order of their keys, and left-out second copies: links to another of the files, the same path from
        the data set's folder, or the same recording in the other schema.

    Raises:
        DataError: a folder cannot be read, or a name is no UTF-8.
    """
    found = [file for folder in folders for file in _walk(amass_root, dataset, folder)]
    places, root = {file: os.path.realpath(amass_root / file.relative) for file in found}, amass_root.resolve()
    # Where a file lies goes before links to it, whose folders may tell another subject.
    found.sort(key=lambda file: (places[file] != str(root / file.relative), file.relative))
    distinct, copies = _first_of_each(found, lambda file: places[file])
    distinct.sort(key=lambda file: (file.motion, file.named_family is None, file.named_family != prefer, file.key,
                                    file.relative))
    kept, more = _first_of_each(distinct, lambda file: (file.key if file.named_other else file.motion,
                                                        file.named_other))
    return sorted(kept, key=lambda file: file.key), copies + more


def _first_of_each(files: list[AmassFile], identity: Callable[[AmassFile], Hashable]) -> tuple[
        list[AmassFile], list[AmassFile]]:
    """The first file of every identity, and the others."""
    first: dict[Hashable, AmassFile] = {}
    for file in files:
        first.setdefault(identity(file), file)
    kept = set(first.values())
    return list(first.values()), [file for file in files if file not in kept]


def _walk(amass_root: Path, dataset: str, folder: Path) -> Iterator[AmassFile]:
    for place, folders, names in os.walk(folder, onerror=_refuse_folder, followlinks=True):
        above = {os.path.realpath(parent) for parent in Path(place).parents if parent.is_relative_to(folder)}
        if os.path.realpath(place) in above:  # A link to a folder above it.
            folders.clear()
            continue
        for name in names:
            if name.endswith('.npz'):
                path = Path(place, name)
                _check_name(path)
                parts = path.relative_to(folder).parts
                while len(parts) > 1 and current_name(parts[0]) == dataset:
                    parts = parts[1:]
                subject = parts[0] if len(parts) > 1 else path.parent.name
                yield AmassFile(dataset, path.relative_to(amass_root).as_posix(), '/'.join(parts), subject)


def _refuse_folder(error: OSError) -> None:
    raise DataError(error.filename, 'folder', error.strerror, 'a folder that can be read') from error


def _check_name(path: Path) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        shown = os.fsencode(path).decode('utf-8', 'backslashreplace')
        raise DataError(shown, 'name', 'bytes that are no UTF-8', 'a name in UTF-8', 'Rename it.') from error


def what_is_there(folder: Path) -> str:
    """The first entries of a folder, for messages."""
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith('.'))
    more = f' and {len(names) - 20} more' if len(names) > 20 else ''
    return f'{", ".join(names[:20])}{more}' if names else 'an empty folder'


def archive_hint(*folders: Path) -> str:
    """Names packed archives in ``folders``, the usual reason for finding nothing."""
    packed = sorted(path.name for folder in folders for path in folder.iterdir() if path.name.endswith(_ARCHIVES))
    if not packed:
        return ''
    more = f' and {len(packed) - 10} more' if len(packed) > 10 else ''
    return f'There are archives to unpack first: {", ".join(packed[:10])}{more}.'
