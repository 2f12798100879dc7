"""Body poses that a pose prior reads and writes: files, arrays, AMASS-style results."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from motionlab.apis.pose_prior import check_poses
from motionlab.datasets.amass.archive import MotionArchive
from motionlab.datasets.amass.export import amass_arrays
from motionlab.datasets.amass.schema import (
    RATE_KEYS,
    read_body_pose,
    read_finite,
    read_frame_rate,
    read_header,
    read_text,
)
from motionlab.utils import ConfigError, DataError
from motionlab.utils.array_file import read_npz_arrays

PoseInput = str | Path | np.ndarray | Tensor
DEFAULT_FPS = 30.0  # Of poses that are no recording, for viewers that want a rate.


@dataclass(frozen=True)
class BodyPoses:
    """N poses that a prior sampled, interpolated, reconstructed or fitted; float32.

    Args:
        pose_body: (N, 63) axis-angle, radians.
        z: (N, L) latents.
        root_orient: (N, 3) axis-angle, radians; None for zeros.
        trans: (N, 3) metres; None for zeros.
        betas: (N, nb) shape of each row; None for the mean shape.
        body: Family, gender and version of the body that betas and fits belong to.
        up_axis: ``'y'`` or ``'z'``, of the axes that root and translation are in.
        fps: Frames per second, where the rows are a recording.
        extras: Further arrays by name, (N, ...), e.g. errors.
    """

    pose_body: np.ndarray
    z: np.ndarray
    root_orient: np.ndarray | None = None
    trans: np.ndarray | None = None
    betas: np.ndarray | None = None
    body: dict[str, str] = field(default_factory=dict)
    up_axis: str = 'y'
    fps: float = DEFAULT_FPS
    extras: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.pose_body)

    def save(self, path: str | Path) -> Path:
        """Write an ``.npz`` with the keys of AMASS's SMPL-X files, which viewers and our own readers take.

        Keys are those of :func:`motionlab.datasets.amass.export.amass_arrays`, ``poZ`` (N, L) and the extras. Where
        rows differ in shape ``betas`` is their mean and ``betas_per_frame`` (N, nb) has all of them.

        Raises:
            ConfigError: another suffix.
        """
        path = Path(path)
        if path.suffix != '.npz':
            raise ConfigError(f'{path}: found suffix {path.suffix!r}, expected .npz.')
        zeros = np.zeros((len(self), 3), np.float32)
        betas = np.zeros((len(self), 16), np.float32) if self.betas is None else self.betas
        known = betas[np.isfinite(betas).all(axis=1)]
        arrays = {**amass_arrays(zeros if self.root_orient is None else self.root_orient, self.pose_body,
                                 zeros if self.trans is None else self.trans,
                                 known.mean(axis=0) if len(known) else betas[0], self.body, self.up_axis, self.fps),
                  'poZ': self.z, **self.extras}
        if self.betas is not None:
            arrays['betas_per_frame'] = betas
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open('wb') as file:  # np.savez would add .npz to names that end in something else.
            np.savez(file, **{name: np.asarray(value) for name, value in arrays.items()})
        return path


def read_poses(poses: PoseInput) -> Tensor:
    """Poses (N, 63) float32 of an array (N, 63) or (N, 21, 3), or of a file.

    Args:
        poses: Or the path of an ``.npz`` with ``pose_body`` (N, 63), of an AMASS file of either schema, or of a
            prepared split.

    Raises:
        DataError: no such file or key, another shape, no row, or values that are not finite.
    """
    if not isinstance(poses, (str, Path)):
        found = poses if isinstance(poses, Tensor) else torch.from_numpy(np.asarray(poses, dtype=np.float32))
        return check_poses(found.float())
    with MotionArchive(_existing(poses)) as archive:
        if 'pose_body' in archive and not any(key in archive for key in ('poses', 'root_orient')):
            found = read_finite(archive, 'pose_body')
        else:
            found = read_body_pose(archive, read_header(archive))[1]
    return check_poses(torch.from_numpy(found.astype(np.float32)))


@dataclass(frozen=True)
class FitTargets:
    """What bodies are to be fitted to.

    Args:
        points: (T, K, 3) metres.
        confidence: (T, K), 0 where a point is missing; None for all 1.
        vertex_ids: (K,) vertices that markers sit on; None where the points are the first K joints.
        up_axis: ``'y'`` or ``'z'``.
        fps: Frames per second.
    """

    points: Tensor
    confidence: Tensor | None = None
    vertex_ids: tuple[int, ...] | None = None
    up_axis: str = 'y'
    fps: float = DEFAULT_FPS


def read_targets(path: str | Path) -> FitTargets:
    """Targets of a file: ``keypoints`` (T, K, 3), the first joints, or ``markers`` (T, M, 3) with ``vertex_ids`` (M,).

    Optional: ``confidence`` (T, K), ``up_axis`` ('y', the default, or 'z'), ``mocap_frame_rate``. Metres.

    Raises:
        DataError: no such file; none of the two keys, or both; another shape.
    """
    path = _existing(path)
    arrays = read_npz_arrays(path, (), ('keypoints', 'markers', 'vertex_ids', 'confidence'))
    given = [name for name in ('keypoints', 'markers') if name in arrays]
    if len(given) != 1 or ('markers' in given) != ('vertex_ids' in arrays):
        raise DataError(path, 'targets', f'keys {sorted(arrays)}',
                        'keypoints (T, K, 3), or markers (T, M, 3) and vertex_ids (M,)')
    points = arrays[given[0]]
    if points.ndim != 3 or points.shape[2] != 3 or points.dtype.kind != 'f' or not points.size:
        raise DataError(path, given[0], f'{points.dtype} {points.shape}', 'floating-point (T, K, 3), metres')
    ids = arrays.get('vertex_ids')
    if ids is not None and (ids.shape != points.shape[1:2] or ids.dtype.kind not in 'iu'):
        raise DataError(path, 'vertex_ids', f'{ids.dtype} {ids.shape}', f'integers {points.shape[1:2]}')
    confidence = arrays.get('confidence')
    if confidence is not None and (confidence.shape != points.shape[:2] or confidence.dtype.kind not in 'fbiu'):
        raise DataError(path, 'confidence', f'{confidence.dtype} {confidence.shape}', f'numbers {points.shape[:2]}')
    with MotionArchive(path) as archive:
        up_axis = read_text(archive, 'up_axis') or 'y'
        fps = read_frame_rate(archive) if any(key in archive for key in RATE_KEYS) else DEFAULT_FPS
    if up_axis not in ('y', 'z'):
        raise DataError(path, 'up_axis: value', repr(up_axis), "'y' or 'z'")
    return FitTargets(torch.from_numpy(points.astype(np.float32)),
                      None if confidence is None else torch.from_numpy(confidence.astype(np.float32)),
                      None if ids is None else tuple(ids.tolist()), up_axis, fps)


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if not path.is_file():
        raise DataError(path, 'file', 'nothing at this path', 'an .npz file')
    return path
