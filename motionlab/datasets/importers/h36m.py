"""Human3.6M as it is downloaded: one CDF file per clip and camera for 2D, one for 3D (Ionescu et al., PAMI 2014)."""

from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np

from motionlab.body.cameras import Camera
from motionlab.body.skeletons import to_h36m
from motionlab.datasets.importers.clip_rows import ClipView
from motionlab.datasets.importers.conversion import ImportClip
from motionlab.datasets.importers.h36m_cameras import H36M_CAMERAS, find_camera, load_h36m_cameras
from motionlab.utils import DataError, need_package

H36M_TRAIN = ['S1', 'S5', 'S6', 'S7', 'S8']
H36M_TEST = ['S9', 'S11']
H36M_FPS = 50.0
_FOLDERS = {'2D': ('D2_Positions', 'Poses_D2_Positions'), '3D': ('D3_Positions_mono', 'Poses_D3_Positions_mono')}
# The same action has two names in the files; VideoPose3D keeps these.
_RENAMED = {'TakingPhoto': 'Photo', 'WalkingDog': 'WalkDog'}
CORRUPT = ('S11', 'Directions')  # Its video and its joints do not belong together.


def list_h36m(source: Path, camera_file: Path, splits: dict[str, str],
              keep_corrupt: bool = False) -> tuple[list[ImportClip], dict[str, int]]:
    """Clips of the data set.

    Args:
        source: Folder with ``S1/.../D2_Positions/Directions 1.54138969.cdf`` and ``S1/.../D3_Positions_mono/...``.
        camera_file: See :func:`load_h36m_cameras`.
        splits: Split by subject.
        keep_corrupt: Keep the take Directions of S11, which VideoPose3D and most papers leave out.

    Returns:
        Clips named ``S1_Directions_1.54138969``, and how many files were left out, by reason.
    """
    table = load_h36m_cameras(camera_file)
    clips, left_out = [], Counter()
    for subject, split in splits.items():
        found = {kind: _files(source / subject, names) for kind, names in _FOLDERS.items()}
        for name in sorted(found['2D'].keys() | found['3D'].keys()):
            take, _, camera_id = name.rpartition('.')
            if take.startswith('_ALL'):
                left_out['CDF files _ALL, which repeat the others'] += 1
                continue
            if (subject, take) == CORRUPT and not keep_corrupt:
                left_out['corrupt clips of S11 Directions'] += 1
                continue
            if camera_id not in H36M_CAMERAS:
                raise DataError(source / subject, f'file {name}.cdf', f'camera {camera_id!r}', list(H36M_CAMERAS))
            files = tuple(found[kind].get(name, source / subject / folders[0] / f'{name}.cdf')
                          for kind, folders in _FOLDERS.items())
            camera = find_camera(camera_file, table, subject, camera_id)
            clip = f'{subject}_{canonical_take(take)}.{camera_id}'
            clips.append(ImportClip(clip, split, (*files, camera_file),
                                    partial(_load, clip, *files, camera, f'{subject}_{camera_id}')))
    return clips, dict(left_out)


def canonical_take(take: str) -> str:
    """``TakingPhoto 1`` -> ``Photo_1``."""
    for old, new in _RENAMED.items():
        take = take.replace(old, new)
    return take.replace(' ', '_')


def read_cdf(path: Path, columns: int) -> np.ndarray:
    """(T, 32, columns) of the variable ``Pose`` of a CDF file, in its own units."""
    cdflib = need_package('cdflib', 'converters')
    if not path.is_file():
        raise DataError(path, 'file', 'nothing at this path', 'a CDF file beside its 2D or 3D counterpart')
    try:
        values = np.asarray(cdflib.CDF(path).varget('Pose'))
    except Exception as error:  # cdflib raises whatever its parser runs into.
        raise DataError(path, 'variable Pose', f'{type(error).__name__}: {error}', 'a readable CDF file') from error
    if values.dtype.kind != 'f' or values.ndim not in (2, 3) or values.shape[-1] != 32 * columns:
        raise DataError(path, 'variable Pose', f'{values.dtype} of shape {values.shape}',
                        f'numbers of shape (1, T, {32 * columns})')
    return values.reshape(-1, 32, columns)


def _files(folder: Path, names: tuple[str, ...]) -> dict[str, Path]:
    """CDF files by name without ending, in the only folder up to three levels below that is called one of ``names``."""
    # Not at any depth: extracted images may lie beside them by the million.
    places = sorted(path for name in names for above in ('', '*/', '*/*/') for path in folder.glob(above + name)
                    if path.is_dir())
    if len(places) != 1:
        raise DataError(folder, f'folder {names[0]}', [str(place) for place in places] or 'none', 'exactly one',
                        'Unpack the archives of D2 and D3 mono positions of every subject; other subjects are chosen '
                        'with --train, --val and --test.')
    return {path.name.removesuffix('.cdf'): path for path in places[0].glob('*.cdf')}


def _load(clip: str, file_2d: Path, file_3d: Path, camera: Camera, camera_name: str) -> list[ClipView]:
    pixels, points_mm = read_cdf(file_2d, 2), read_cdf(file_3d, 3)
    if len(pixels) != len(points_mm):
        raise DataError(file_2d, 'variable Pose', f'{len(pixels)} frames', f'{len(points_mm)}, as in {file_3d.name} of '
                        'the 3D positions')
    points = to_h36m(points_mm.astype(np.float64), 'h36m32') / 1000
    return [ClipView(file_3d, f'{clip}_', 1 + np.arange(len(points)), points,
                     to_h36m(pixels.astype(np.float64), 'h36m32'), camera, camera_name, fps=H36M_FPS)]
