"""Prepared motions: sequences of one rate in a row, mapped into memory and checked for what no model can see later."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import print_log

from motionlab.body.rotations import rotvec_to_rotmat
from motionlab.codecs import motion_batch as keys
from motionlab.datasets.amass.manifest import read_manifest
from motionlab.datasets.amass.motions import NUM_BETAS
from motionlab.datasets.store import open_npz, require_keys, take_rows
from motionlab.utils import DataError

FRAME_FIELDS = {keys.TRANS: 3, keys.ROOT_ORIENT: 3, keys.POSE_BODY: 3 * (keys.NUM_JOINTS - 1)}
_PREPARE = 'Make the file with tools/dataset_converters/prepare_amass.py --selection motions --body FILE.'
_TURN = ('Prepare the motions again with --body FILE (and --source-up-axis z where the files do not say their up '
         'axis): this turns them Y-up.')
_PROBES = 8          # Frames of a sequence that are asked which way is up.
_STANDS_ALONG = 0.7  # Mean cosine: walking, sitting and most of dancing are above it, a mixture with lying is not.


@dataclass(frozen=True)
class MotionStore:
    """Sequences of one frame rate, Y up.

    Args:
        path: The file.
        frames: ``trans`` (N, 3), ``root_orient`` (N, 3) and ``pose_body`` (N, 63), float32, mapped.
        starts: (S + 1,) int64; sequence s is rows ``starts[s]:starts[s + 1]``.
        betas: (S, 16) float32.
        files: (S,) where each sequence is from.
        datasets: (S,) its data set.
        fps: Frames per second.
        actions: (S,) int64 class of each sequence, or None.
        action_names: Names of the classes; empty without classes.
        bodies: Descriptions of the bodies that the preparation turned the motions about; empty where it does not say.
    """

    path: Path
    frames: dict[str, np.ndarray]
    starts: np.ndarray
    betas: np.ndarray
    files: np.ndarray
    datasets: np.ndarray
    fps: float
    actions: np.ndarray | None = None
    action_names: tuple[str, ...] = ()
    bodies: tuple[str, ...] = ()

    @property
    def lengths(self) -> np.ndarray:
        """(S,) frames of each sequence."""
        return np.diff(self.starts)

    def take(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Motion of any rows, a new array ``rows.shape + (3 or 63,)`` for each field.

        Raises:
            DataError: a number is not finite; names field, frame and the file it came from.
        """
        taken = {key: take_rows(array, rows) for key, array in self.frames.items()}
        for key, values in taken.items():
            finite = np.isfinite(values).all(axis=-1)                                      # rows.shape
            if not finite.all():
                row = int(rows[~finite].flat[0])
                sequence = int(np.searchsorted(self.starts, row, side='right')) - 1
                frame = row - self.starts[sequence]
                raise DataError(self.path, f'{key} row {row}', f'NaN or infinity in frame {frame} of '
                                f'{self.files[sequence]}', 'finite numbers', _PREPARE)
        return taken


def open_motion_store(path: str | Path) -> MotionStore:
    """Map a file of :func:`motionlab.datasets.amass.prepare_amass` (motions) or of ``smpl_to_motions.py``.

    Raises:
        DataError: the file, or the manifest beside it, is damaged; there is no file; a key is missing, of a
            wrong shape or type; it is not Y-up, by its own word or by how its bodies stand.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(path, 'file', 'nothing at this path', 'prepared motions',
                        f'Make it: python tools/dataset_converters/prepare_amass.py AMASS_ROOT {path.parent} --splits '
                        'NAME --selection motions --body FILE.')
    arrays = open_npz(path, verify=())  # Checksums would read everything.
    require_keys(path, arrays, [*FRAME_FIELDS, 'starts', 'betas', 'files', 'datasets', 'fps', 'up_axis'], _PREPARE)
    total, sequences = len(arrays[keys.TRANS]), max(len(arrays['starts']) - 1, 0)
    for key, width in FRAME_FIELDS.items():
        _expect(path, key, arrays[key], np.float32, (total, width))
    _expect(path, 'betas', arrays['betas'], np.float32, (sequences, NUM_BETAS))
    for key in ('files', 'datasets'):
        _expect(path, key, arrays[key], arrays[key].dtype, (sequences,))
    starts = np.array(arrays['starts'])  # Aligned.
    if starts.ndim != 1 or starts.dtype.kind not in 'iu' or sequences == 0 or starts[0] != 0 or starts[-1] != total \
            or (np.diff(starts) < 1).any():
        raise DataError(path, 'starts', f'{starts.dtype} {starts.shape}', f'at least one sequence: 0 to {total} (rows '
                        'of trans), growing', _PREPARE)
    betas = np.array(arrays['betas'])
    if not np.isfinite(betas).all():
        bad = int(np.argwhere(~np.isfinite(betas))[0, 0])
        raise DataError(path, f'betas row {bad}', f'NaN or infinity ({arrays["files"][bad]})', 'finite numbers',
                        _PREPARE)
    fps, up_axis = arrays['fps'].item(), str(arrays['up_axis'])
    if not fps > 0:
        raise DataError(path, 'fps', fps, 'a positive number', _PREPARE)
    if up_axis != 'y':
        raise DataError(path, 'up_axis', repr(up_axis), "'y'", _TURN)
    actions, names = _actions(path, arrays, sequences)
    store = MotionStore(path, {key: arrays[key] for key in FRAME_FIELDS}, starts.astype(np.int64), betas,
                        np.array(arrays['files']), np.array(arrays['datasets']), float(fps), actions, names,
                        _bodies(path))
    _check_up_axis(store)
    return store


def mean_up(store: MotionStore) -> np.ndarray:
    """(S, 3) world direction of each body's own up (pelvis towards head), mean over a few frames of each sequence."""
    steps = np.linspace(0, 1, _PROBES)                                                     # (P,)
    rows = store.starts[:-1, None] + np.round((store.lengths - 1)[:, None] * steps).astype(np.int64)  # (S, P)
    roots = torch.from_numpy(take_rows(store.frames[keys.ROOT_ORIENT], rows))              # (S, P, 3)
    return rotvec_to_rotmat(roots)[..., 1].mean(dim=1).numpy()                             # (S, 3)


def _check_up_axis(store: MotionStore) -> None:
    """Refuse data sets whose bodies stand along another axis than y; name single sequences that do."""
    ups = mean_up(store)                                                                   # (S, 3)
    for name in np.unique(store.datasets):
        mean = ups[store.datasets == name].mean(axis=0)                                    # (3,)
        axis = int(np.abs(mean).argmax())
        if abs(mean[axis]) > _STANDS_ALONG and (axis != 1 or mean[1] < 0):
            direction = f'{"-" if mean[axis] < 0 else "+"}{"xyz"[axis]}'
            raise DataError(store.path, f'up axis of {name}', f'bodies that stand along {direction} on average '
                            f'({", ".join(f"{value:.2f}" for value in mean)})', 'along +y', _TURN)
    lying = np.flatnonzero(np.abs(ups[:, [0, 2]]).max(axis=1) > 0.9)
    if len(lying):
        print_log(f'{store.path}: in {len(lying)} of {len(ups)} sequences the body lies along x or z throughout '
                  f'({", ".join(store.files[lying[:3]])}{", ..." if len(lying) > 3 else ""}); is it Z-up data?',
                  'current', logging.WARNING)


def _bodies(path: Path) -> tuple[str, ...]:
    manifest = read_manifest(path.parent)
    if manifest is None or path.name not in manifest['outputs']:
        return ()
    return tuple(manifest['config'].get('pelvises', ()))


def _actions(path: Path, arrays: dict[str, np.ndarray], sequences: int) -> tuple[np.ndarray | None, tuple[str, ...]]:
    if keys.ACTION not in arrays:
        return None, ()
    require_keys(path, arrays, ['action_names'])
    actions, names = np.array(arrays[keys.ACTION]), tuple(map(str, arrays['action_names']))
    _expect(path, keys.ACTION, actions, np.int64, (sequences,))
    if actions.min() < 0 or actions.max() >= len(names):
        raise DataError(path, keys.ACTION, f'{actions.min()} to {actions.max()}', f'0 to {len(names) - 1}, as '
                        'action_names')
    return actions, names


def _expect(path: Path, key: str, array: np.ndarray, dtype: type | np.dtype, shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise DataError(path, key, f'{array.dtype} of shape {array.shape}', f'{np.dtype(dtype)} of shape {shape}',
                        _PREPARE)
