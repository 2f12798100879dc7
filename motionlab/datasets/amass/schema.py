"""The two layouts of AMASS motion files: which one a file has, and its arrays, checked.

=================  ====================================  ==========================================================
family             ``smplh`` (``*_poses.npz``)           ``smplx`` (``*_stageii.npz``)
=================  ====================================  ==========================================================
poses              (N, 156): root, body, hands           (N, 165): root, body, jaw, eyes, hands
frame rate         ``mocap_framerate``                   ``mocap_frame_rate``; either name is taken in either family
split fields       -                                     ``root_orient`` (N, 3), ``pose_body`` (N, 63), ...
=================  ====================================  ==========================================================

Radians (axis-angle) and metres, Z-up. Both hold the same 21 body joints. Field names of errors end in what is wrong
(``poses: width``), so that skipped files can be counted by reason.
"""

from dataclasses import dataclass

import numpy as np

from motionlab.datasets.amass.archive import MotionArchive
from motionlab.utils import DataError

FAMILIES = {156: 'smplh', 165: 'smplx'}
RATE_KEYS = ('mocap_framerate', 'mocap_frame_rate')
_SPLIT_WIDTHS = {'root_orient': 3, 'pose_body': 63}
_LARGEST = np.finfo(np.float32).max  # Rows are float32.
_GENDERS = ('female', 'male', 'neutral')


@dataclass(frozen=True)
class MotionHeader:
    """What a file says of itself before a number is decompressed.

    Args:
        family: ``smplh`` or ``smplx``.
        num_frames: N, at least 1.
        split_fields: Whether ``root_orient`` and ``pose_body`` are there; they are the smaller ones to read.
    """

    family: str
    num_frames: int
    split_fields: bool


def holds_motion(archive: MotionArchive) -> bool:
    """Whether a file that is not named after a motion has any key of one."""
    return any(key in archive for key in ('poses', 'pose_body', 'trans'))


def read_header(archive: MotionArchive) -> MotionHeader:
    """Check keys, dtypes, widths and lengths of the body's motion without decompressing it.

    Raises:
        DataError: naming file, field, found and expected.
    """
    split_fields = all(key in archive for key in _SPLIT_WIDTHS)
    if 'poses' not in archive and not split_fields:
        raise DataError(archive.path, 'poses: missing', 'no such key',
                        'poses (N, 156) or (N, 165), or root_orient (N, 3) and pose_body (N, 63)')
    lengths, family = {}, None
    if 'poses' in archive:
        lengths['poses'], width = _frames_and_width(archive, 'poses')
        family = FAMILIES.get(width)
        if family is None:
            raise DataError(archive.path, 'poses: width', width, '156 (SMPL-H) or 165 (SMPL-X)')
    for key, expected in {**_SPLIT_WIDTHS, 'trans': 3}.items():
        if key in archive:
            lengths[key], width = _frames_and_width(archive, key)
            if width != expected:
                raise DataError(archive.path, f'{key}: width', width, expected)
    first, num_frames = next(iter(lengths.items()))
    for key, length in lengths.items():
        if length == 0:
            raise DataError(archive.path, f'{key}: length', 'no frame', 'at least 1')
        if length != num_frames:
            raise DataError(archive.path, f'{key}: length', f'{length} frames', f'{num_frames}, as in {first}')
    return MotionHeader(_family(archive, family), num_frames, split_fields)


def read_body_pose(archive: MotionArchive, header: MotionHeader) -> tuple[np.ndarray, np.ndarray]:
    """Root orientation (N, 3) and body pose (N, 63), axis-angle in radians, dtype of the file.

    Raises:
        DataError: damaged data, or values that are not finite.
    """
    if header.split_fields:
        return read_finite(archive, 'root_orient'), read_finite(archive, 'pose_body')
    poses = archive.read('poses')[:, :66]  # Hands, jaw and eyes are not used: what they hold does not matter.
    _require_finite(archive, 'poses', poses)
    return poses[:, :3], poses[:, 3:]


def read_finite(archive: MotionArchive, key: str) -> np.ndarray:
    """A member of finite float32 or float64 numbers; DataError otherwise."""
    require_floats(archive, key)
    array = archive.read(key)
    _require_finite(archive, key, array)
    return array


def read_frame_rate(archive: MotionArchive) -> float:
    """Frames per second, under either name.

    Raises:
        DataError: none is there, two contradict each other, or it is no positive number.
    """
    rates = {key: read_number(archive, key) for key in RATE_KEYS if key in archive}
    if not rates:
        raise DataError(archive.path, 'frame rate: missing', 'nothing', ' or '.join(RATE_KEYS),
                        'Name the rate in the table of frame rates.')
    key, rate = next(iter(rates.items()))
    if len(set(rates.values())) > 1:
        raise DataError(archive.path, 'frame rate: contradiction', rates, 'one rate')
    if not 0 < rate < np.inf:
        raise DataError(archive.path, f'{key}: value', rate, 'a positive number of frames per second')
    return rate


def read_duration(archive: MotionArchive) -> float | None:
    """``mocap_time_length`` in seconds where the file has it."""
    return read_number(archive, 'mocap_time_length') if 'mocap_time_length' in archive else None


def read_gender(archive: MotionArchive) -> str:
    """``female``, ``male`` or ``neutral``; files hold text or bytes. DataError for anything else, or nothing."""
    gender = read_text(archive, 'gender')
    if gender is None or gender.lower() not in _GENDERS:
        raise DataError(archive.path, 'gender: value', repr(gender), ' or '.join(_GENDERS))
    return gender.lower()


def read_betas(archive: MotionArchive) -> np.ndarray | None:
    """(K,) finite shape coefficients, or None where the file has none (a scanned ``v_template`` stands for them)."""
    if 'betas' not in archive:
        return None
    shape, _ = archive.header('betas')
    if len(shape) != 1:
        raise DataError(archive.path, 'betas: shape', shape, '(K,)')
    return read_finite(archive, 'betas')


def read_text(archive: MotionArchive, key: str) -> str | None:
    """A single text, stored as such or as bytes; None where the key is absent."""
    if key not in archive:
        return None
    shape, dtype = archive.header(key)
    if dtype.kind not in 'US' or np.prod(shape) != 1:
        raise DataError(archive.path, f'{key}: dtype', f'{dtype} of shape {shape}', 'one text')
    value = archive.read(key).item()
    return value.decode('utf-8', 'replace') if isinstance(value, bytes) else value


def require_floats(archive: MotionArchive, key: str) -> tuple[int, ...]:
    """Shape of a member of float32 or float64; DataError for other dtypes, half precision and integers among them."""
    shape, dtype = archive.header(key)
    if dtype.kind != 'f' or dtype.itemsize not in (4, 8):
        raise DataError(archive.path, f'{key}: dtype', dtype, 'float32 or float64')
    return shape


def _frames_and_width(archive: MotionArchive, key: str) -> tuple[int, int]:
    shape = require_floats(archive, key)
    if len(shape) != 2:
        raise DataError(archive.path, f'{key}: shape', shape, '(frames, width)')
    return shape


def _family(archive: MotionArchive, by_width: str | None) -> str:
    """Family by the width of poses, or by name where a file has only the split fields (then SMPL-X by default)."""
    named = read_text(archive, 'surface_model_type')
    if named is None:
        return by_width or 'smplx'
    if named not in FAMILIES.values() or by_width not in (None, named):
        raise DataError(archive.path, 'surface_model_type: value', repr(named),
                        by_width or ' or '.join(FAMILIES.values()))
    return named


def read_number(archive: MotionArchive, key: str) -> float:
    """The only number of a member; DataError where it holds something else."""
    shape, dtype = archive.header(key)
    if dtype.kind not in 'fiu' or np.prod(shape) != 1:
        raise DataError(archive.path, f'{key}: dtype', f'{dtype} of shape {shape}', 'one number')
    return float(archive.read(key).item())


def _require_finite(archive: MotionArchive, key: str, array: np.ndarray) -> None:
    finite = np.abs(array) <= _LARGEST  # False for NaN.
    if not finite.all():
        where = ', '.join(map(str, np.argwhere(~finite)[0]))
        raise DataError(archive.path, f'{key}: not finite', f'{(~finite).sum()} such values, the first at [{where}]',
                        'finite float32 numbers')
