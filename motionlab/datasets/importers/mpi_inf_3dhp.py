"""MPI-INF-3DHP as it is downloaded: annot.mat and camera.calibration for training, annot_data.mat for testing.

Mehta et al., 3DV 2017. Joint 9 of the result is the middle of the head, not the nose.
"""

import zlib
from functools import partial
from pathlib import Path

import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from motionlab.body.cameras import Camera, fit_pinhole, invert_extrinsics
from motionlab.body.skeletons import to_h36m
from motionlab.datasets.importers.clip_rows import ClipView, make_camera
from motionlab.datasets.importers.conversion import ImportClip, read_once
from motionlab.utils import DataError, need_package

TRAIN_SUBJECTS = [f'S{i}' for i in range(1, 9)]
TEST_SUBJECTS = [f'TS{i}' for i in range(1, 7)]
TRAIN_CAMERAS = (0, 1, 2, 4, 5, 6, 7, 8)  # At chest height; the others look down from the ceiling.
TRUTHS = ('annot3', 'univ_annot3')
_50_FPS = {('S1', 'Seq2'), ('S3', 'Seq1'), ('S3', 'Seq2'), ('S5', 'Seq1'), ('S5', 'Seq2')}  # mpii_get_sequence_info.m
_TEST_IMAGE_SIZES = {'TS5': (1920, 1080), 'TS6': (1920, 1080)}
_TEST_IMAGE_SIZE = (2048, 2048)
_CALIBRATION = {'size': 2, 'intrinsic': 16, 'extrinsic': 16}


def list_mpi_inf_3dhp(source: Path, splits: dict[str, str], truth: str) -> tuple[list[ImportClip], dict[str, int]]:
    """Clips of the data set.

    Args:
        source: Folder with ``S1/Seq1/{annot.mat,camera.calibration}`` and ``TS1/annot_data.mat``, or with these below
            ``train`` and ``test``, or the test set below ``mpi_inf_3dhp_test_set``.
        splits: Split by subject; ``S1`` to ``S8`` and ``TS1`` to ``TS6``.
        truth: ``'annot3'`` (metric) or ``'univ_annot3'`` (every person of the same height; the official protocol of PCK
            and AUC).

    Returns:
        Clips named ``S1_Seq1_Cam0`` and ``TS1``, and an empty table of what was left out.
    """
    clips = []
    for subject, split in splits.items():
        if subject.startswith('TS'):
            path = _place(source, ('', 'test', 'mpi_inf_3dhp_test_set'), f'{subject}/annot_data.mat')
            clips.append(ImportClip(subject, split, (path,), partial(_load_test, path, subject, truth)))
            continue
        folder = _place(source, ('', 'train'), subject)
        sequences = sorted(path.parent for path in folder.glob('Seq*/annot.mat'))
        if not sequences:
            raise DataError(folder, 'sequences', 'no Seq*/annot.mat', 'Seq1 and Seq2')
        for sequence in sequences:
            annotation, calibration = sequence / 'annot.mat', sequence / 'camera.calibration'
            for number in TRAIN_CAMERAS:
                name = f'{subject}_{sequence.name}_Cam{number}'
                fps = 50.0 if (subject, sequence.name) in _50_FPS else 25.0
                clips.append(ImportClip(name, split, (annotation, calibration), partial(
                    _load_train, annotation, calibration, number, name, truth, fps)))
    return clips, {}


@read_once
def read_calibration(path: Path) -> dict[int, Camera]:
    """Cameras of a ``camera.calibration`` file (Skeletool V1.0) by number; extrinsics turned to camera to world.

    The file stores world to camera, millimetres, and pixels without lens distortion.

    Raises:
        DataError: A line is malformed, or a camera lacks a field.
    """
    if not path.is_file():
        raise DataError(path, 'file', 'nothing at this path', 'camera.calibration beside annot.mat')
    lines = path.read_text(encoding='latin-1').splitlines()
    if not lines or not lines[0].startswith('Skeletool Camera Calibration File'):
        raise DataError(path, 'line 1', repr(lines[0]) if lines else 'nothing',
                        'Skeletool Camera Calibration File V1.0')
    entries: dict[int, dict[str, np.ndarray]] = {}
    number = None
    for row, line in enumerate(lines[1:], start=2):
        key, *values = line.split() or ['']
        try:
            if key == 'name':
                number = int(values[0])
                entries[number] = {}
            elif key in _CALIBRATION and number is not None:
                entries[number][key] = np.array(values, dtype=float).reshape(_CALIBRATION[key])
        except (ValueError, IndexError):
            raise DataError(path, f'line {row}', repr(line), f'{key} and {_CALIBRATION.get(key, 1)} numbers') from None
    cameras = {}
    for number, entry in entries.items():
        missing = [key for key in _CALIBRATION if key not in entry]
        if missing:
            raise DataError(path, f'camera {number}', f'only {sorted(entry)}', f'also {missing}')
        lens, pose = entry['intrinsic'].reshape(4, 4), entry['extrinsic'].reshape(4, 4)
        R, T = invert_extrinsics(pose[:3, :3], pose[:3, 3:] / 1000)
        cameras[number] = make_camera(lens.diagonal()[:2], lens[:2, 2], *entry['size'], R=R, T=T)
    return cameras


def _place(source: Path, folders: tuple[str, ...], name: str) -> Path:
    for folder in folders:
        if (source / folder / name).exists():
            return source / folder / name
    raise DataError(source, name, 'nothing at this path', f'it in SRC or in its {" or ".join(folders[1:])}',
                    'Choose subjects with --train, --val and --test.')


@read_once
def _read_train(path: Path) -> dict[str, np.ndarray]:
    keys = ['annot2', *TRUTHS, 'cameras']
    try:
        content = loadmat(path, variable_names=keys)
    except (OSError, ValueError, NotImplementedError, TypeError, KeyError, MatReadError, zlib.error) as error:
        raise DataError(path, 'file', f'{type(error).__name__}: {error}', 'a MATLAB 5 file') from error
    return {key: content[key] for key in keys if key in content}


def _cell(path: Path, content: dict[str, np.ndarray], key: str, number: int, columns: int) -> np.ndarray:
    """(T, 28, columns) of one camera."""
    if key not in content:
        raise DataError(path, f'key {key}', f'only {sorted(content)}', 'this key to be present')
    cells = content[key].ravel()
    cameras = content.get('cameras', np.arange(len(cells))).ravel().tolist()
    if content[key].dtype != object or number not in cameras or cameras.index(number) >= len(cells):
        raise DataError(path, f'key {key}', f'{content[key].dtype} of shape {content[key].shape}, cameras {cameras}',
                        f'a cell per camera, one of them camera {number}')
    values = np.asarray(cells[cameras.index(number)])
    if values.dtype.kind != 'f' or values.ndim != 2 or values.shape[1] != 28 * columns:
        raise DataError(path, f'{key}{{{number}}}', f'{values.dtype} of shape {values.shape}',
                        f'numbers of shape (T, {28 * columns})')
    return values.astype(np.float64).reshape(-1, 28, columns)


def _load_train(path: Path, calibration: Path, number: int, name: str, truth: str, fps: float) -> list[ClipView]:
    content, cameras = _read_train(path), read_calibration(calibration)
    if number not in cameras:
        raise DataError(calibration, 'cameras', sorted(cameras), f'also camera {number}')
    pixels, points_mm = _cell(path, content, 'annot2', number, 2), _cell(path, content, truth, number, 3)
    if len(pixels) != len(points_mm):
        raise DataError(path, f'annot2{{{number}}}', f'{len(pixels)} frames', f'{len(points_mm)}, as in {truth}')
    return [ClipView(path, f'{name}_', 1 + np.arange(len(pixels)), to_h36m(points_mm, 'mpi_inf_3dhp28') / 1000,
                     to_h36m(pixels, 'mpi_inf_3dhp28'), cameras[number], name, fps=fps)]


def _read_test(path: Path, truth: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Valid (T,) bool, pixels (T, 17, 2) and points (T, 17, 3) mm of a test sequence."""
    h5py = need_package('h5py', 'converters')
    arrays = {}
    try:
        with h5py.File(path, 'r') as file:
            for key in ('valid_frame', 'annot2', truth):
                if not isinstance(file.get(key), h5py.Dataset):
                    raise DataError(path, f'key {key}', f'only {sorted(file)}', 'this key to be present')
                arrays[key] = np.asarray(file[key][()], dtype=np.float64)
    except DataError:
        raise
    except (OSError, ValueError, TypeError) as error:
        raise DataError(path, 'file', f'{type(error).__name__}: {error}', 'a MATLAB 7.3 (HDF5) file') from error
    frames = arrays['valid_frame'].size
    for key, columns in (('annot2', 2), (truth, 3)):
        expected = (frames, 1, 17, columns)
        if arrays[key].shape != expected:
            raise DataError(path, f'key {key}', f'shape {arrays[key].shape}', f'{expected}, a row per valid_frame')
        arrays[key] = arrays[key][:, 0]
    return arrays['valid_frame'].ravel() > 0.5, arrays['annot2'], arrays[truth]


def _load_test(path: Path, subject: str, truth: str) -> list[ClipView]:
    valid, pixels, points_mm = _read_test(path, truth)
    counts = {'frames that valid_frame excludes': int((~valid).sum())}
    numbers, pixels, points_m = 1 + np.flatnonzero(valid), pixels[valid], points_mm[valid] / 1000
    usable = np.isfinite(points_m).all(-1) & np.isfinite(pixels).all(-1) & (points_m[..., 2] > 0)
    if not usable.any():
        raise DataError(path, truth, 'no finite joint in front of the camera in any valid frame', 'camera coordinates')
    f, c = fit_pinhole(points_m[usable], pixels[usable])
    camera = make_camera(f, c, *_TEST_IMAGE_SIZES.get(subject, _TEST_IMAGE_SIZE))
    return [ClipView(path, f'{subject}_', numbers, to_h36m(points_m, 'mpi_inf_3dhp17'),
                     to_h36m(pixels, 'mpi_inf_3dhp17'), camera, subject, has_world=False, counts=counts)]
