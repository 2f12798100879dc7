"""Data sets of an AMASS folder and their files, whatever the archives unpacked to."""

import os
from collections.abc import Iterator
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
        Files in order of their keys, and left-out second copies: of the same path from the data set's folder, or of
        the same recording in the other schema.
    """
    found = sorted((file for folder in folders for file in _walk(amass_root, dataset, folder)),
                   key=lambda file: (file.motion, file.named_family != prefer, file.key, file.relative))
    kept: dict[tuple[str, bool], AmassFile] = {}
    copies = []
    for file in found:
        identity = (file.key, True) if file.named_other else (file.motion, False)
        if identity in kept:
            copies.append(file)
        else:
            kept[identity] = file
    return sorted(kept.values(), key=lambda file: file.key), copies


def _walk(amass_root: Path, dataset: str, folder: Path) -> Iterator[AmassFile]:
    visited = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        identity = os.path.realpath(place)
        if identity in visited:  # A link to a folder above it.
            folders.clear()
            continue
        visited.add(identity)
        folders.sort()
        for name in names:
            if name.endswith('.npz'):
                path = Path(place, name)
                parts = path.relative_to(folder).parts
                while len(parts) > 1 and current_name(parts[0]) == dataset:
                    parts = parts[1:]
                subject = parts[0] if len(parts) > 1 else path.parent.name
                yield AmassFile(dataset, path.relative_to(amass_root).as_posix(), '/'.join(parts), subject)


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
