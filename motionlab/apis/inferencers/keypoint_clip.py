"""What a pose lifter is asked to lift: arrays and detector files -> checked arrays in Human3.6M order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from motionlab.body.skeletons import H36M_17, coco_to_h36m
from motionlab.codecs import lifting_batch as keys
from motionlab.datasets.detections import KEYPOINT_FORMATS, load_detections
from motionlab.datasets.lifting_clips import parse_image_names
from motionlab.datasets.store import open_npz
from motionlab.utils import ConfigError, DataError

ArrayLike = np.ndarray | Tensor | Sequence
_K = len(H36M_17)
_XY_C_D = (keys.KEYPOINTS_PX, keys.CONFIDENCE, keys.DEPTH_M)
# Columns of one array by its width; keys that end in _px take two.
_COLUMNS = {2: _XY_C_D[:1], 3: _XY_C_D[:2], 4: _XY_C_D, 6: (*_XY_C_D, keys.DEPTH_MIN_M, keys.DEPTH_MAX_M),
            10: (*_XY_C_D, keys.DEPTH_MIN_M, keys.DEPTH_MIN_PX, keys.DEPTH_MAX_M, keys.DEPTH_MAX_PX)}
_POINTS = (keys.DEPTH_MIN_PX, keys.DEPTH_MAX_PX)
_DEPTHS = (keys.DEPTH_M, keys.DEPTH_MIN_M, keys.DEPTH_MAX_M)
_FEATURES = (keys.IMAGE_FEATURES, keys.DEPTH_FEATURES)
EXTRA_KEYS = (keys.DEPTH_MIN_M, keys.DEPTH_MAX_M, *_POINTS, *_FEATURES, keys.KEYPOINTS_VALID)
# Arrays of lifting annotations, as extract_depth.py writes them; joints in Human3.6M order.
_FILE_KEYS = {'predicted_da_depth': keys.DEPTH_M, 'predicted_depth_min': keys.DEPTH_MIN_M,
              'predicted_depth_max': keys.DEPTH_MAX_M, 'predicted_depth_min_px': keys.DEPTH_MIN_PX,
              'predicted_depth_max_px': keys.DEPTH_MAX_PX, 'rtm_joint_feats': keys.IMAGE_FEATURES,
              'dav2_joint_feats': keys.DEPTH_FEATURES}
_SCORE_RANGE = (-0.5, 5.0)      # SimCC scores exceed 1 a little; percentages and logits are something else.
_DEPTH_RANGE_M = (0.1, 100.0)   # Of the median; millimetres lie above.
_NORMALISED = 2.0               # Pixels of a whole clip below this are no pixels.


@dataclass(frozen=True)
class KeypointClip:
    """One clip, checked. T frames, 17 joints in Human3.6M order.

    Args:
        source: Named in errors: a file, or ``inputs``.
        arrays: Keys of :mod:`motionlab.codecs.lifting_batch` without the batch axis: ``keypoints_px`` (T,17,2) with 0
            where absent, ``keypoints_valid`` (T,17), and what else was given.
        image_size_px: (2,) float32, width and height.
        names: Image names, or None.
    """

    source: str
    arrays: dict[str, np.ndarray]
    image_size_px: np.ndarray
    names: list[str] | None = None

    def __len__(self) -> int:
        return len(self.arrays[keys.KEYPOINTS_PX])

    @property
    def valid(self) -> np.ndarray:
        """(T, 17) bool, joints with a detection."""
        return self.arrays[keys.KEYPOINTS_VALID]

    def batch(self, start: int, stop: int, device: torch.device) -> dict[str, Tensor]:
        """Frames [start, stop) as a batch of one."""
        batch = {key: torch.from_numpy(array[start:stop])[None].to(device) for key, array in self.arrays.items()}
        return {**batch, keys.IMAGE_SIZE_PX: torch.from_numpy(self.image_size_px)[None].to(device)}


def read_keypoint_clip(inputs: str | Path | ArrayLike, keypoint_format: str, image_size_px: Sequence[float] | None,
                confidence: ArrayLike | None = None, depth_m: ArrayLike | None = None,
                extras: Mapping[str, ArrayLike] | None = None) -> KeypointClip:
    """Arrays or a detection file as checked arrays; see :class:`PoseLiftingInferencer` for what is taken.

    Raises:
        ConfigError: unknown keypoint format or key.
        DataError: shapes, units or values that cannot be; the array, what was found and expected are named.
    """
    check_format(keypoint_format)
    given = {keys.CONFIDENCE: confidence, keys.DEPTH_M: depth_m, **(extras or {})}
    given = {key: value for key, value in given.items() if value is not None}
    source, names = 'inputs', None
    if isinstance(inputs, (str, Path)):
        source = str(inputs)
        arrays, names, size = _read_file(Path(inputs), keypoint_format)
        # What a file holds is in Human3.6M order, and so is what was measured at the joints of the file.
        arrays = collect(source, {**arrays, **given}, 'h36m17')
        image_size_px = size if image_size_px is None else image_size_px
    else:
        arrays = collect(source, {keys.KEYPOINTS_PX: inputs, **given}, keypoint_format)
    if image_size_px is None:
        raise DataError(source, 'image size', 'none', 'image_size_px=(width, height) in pixels',
                        'The size of the picture that the keypoints were detected in.')
    clip = KeypointClip(source, arrays, check_image_size(image_size_px), names)
    _check_units(clip)
    return clip


def read_depth_file(path: str | Path) -> dict[str, np.ndarray]:
    """Depth, ranges and features at joints in Human3.6M order, from an ``.npz`` that extract_depth.py wrote.

    Raises:
        DataError: unreadable, or it holds none of them.
    """
    arrays = open_npz(path)
    found = {ours: np.array(arrays[theirs]) for theirs, ours in _FILE_KEYS.items() if theirs in arrays}
    if not found:
        raise DataError(path, 'keys', f'only {sorted(arrays)}', f'one of {list(_FILE_KEYS)}',
                        'tools/dataset_converters/extract_depth.py writes them.')
    # Scores and depths may have an axis of size 1 for their one channel.
    return {key: value[..., 0] if key in _DEPTHS and value.ndim == 3 else value for key, value in found.items()}


def check_format(keypoint_format: str) -> None:
    """Raise :class:`ConfigError` unless the format is one of ``h36m17`` and ``coco17``."""
    if keypoint_format not in KEYPOINT_FORMATS:
        raise ConfigError(f'keypoint_format: found {keypoint_format!r}, expected one of {KEYPOINT_FORMATS}. Both have '
                          '17 joints in different order: only you know which it is.')


def check_image_size(image_size_px: Sequence[float]) -> np.ndarray:
    """(2,) float32 width and height, both above 0."""
    size = np.asarray(image_size_px, dtype=np.float32)
    if size.shape != (2,) or not (np.isfinite(size) & (size > 0)).all():
        raise DataError('inputs', 'image_size_px', size.tolist(), 'width and height in pixels, both above 0')
    return size


def collect(source: str, given: Mapping[str, ArrayLike], keypoint_format: str) -> dict[str, np.ndarray]:
    """Split columns, check shapes, put joints in Human3.6M order; float32, features in the type they come in.

    A joint is absent where a coordinate is not finite, where ``keypoints_valid`` says so, or where x = y = 0. A joint
    that is a mean of COCO joints is absent, and its depth unknown (0), where one of them is.
    """
    unknown = sorted(set(given) - {*_XY_C_D, *EXTRA_KEYS})
    if unknown:
        raise ConfigError(f'extras: found {", ".join(unknown)}, expected among {", ".join(EXTRA_KEYS)}.')
    arrays = _split_columns(source, given)
    points = arrays[keys.KEYPOINTS_PX]                                                    # (T, K, 2)
    for key, array in arrays.items():
        tail = points.shape[2:] if key in _POINTS else (array.shape[-1],) if key in _FEATURES else ()
        expected = points.shape if key == keys.KEYPOINTS_PX else (*points.shape[:2], *tail)
        if array.shape != expected:
            raise DataError(source, key, f'shape {array.shape}', f'shape {expected}, as many frames and joints as '
                            'the keypoints')
    valid = np.isfinite(points).all(-1) & (points != 0).any(-1)                           # (T, K)
    if keys.KEYPOINTS_VALID in arrays:
        valid &= arrays[keys.KEYPOINTS_VALID] > 0
    arrays[keys.KEYPOINTS_PX] = np.where(valid[..., None], points, 0)
    arrays[keys.KEYPOINTS_VALID] = valid
    if keypoint_format == 'coco17':
        arrays = {key: _to_h36m(key, array, valid) for key, array in arrays.items()}
    return {key: np.ascontiguousarray(array) for key, array in arrays.items()}


def _read_file(path: Path, keypoint_format: str) -> tuple[dict[str, np.ndarray], list[str] | None, np.ndarray | None]:
    detections = load_detections(path, keypoint_format=keypoint_format)
    arrays = {keys.KEYPOINTS_PX: detections.keypoints_px, keys.CONFIDENCE: detections.confidence,
              keys.KEYPOINTS_VALID: detections.valid}
    held = set(open_npz(path, verify=())) if path.suffix == '.npz' else set()
    if not held.isdisjoint(_FILE_KEYS):
        arrays.update(read_depth_file(path))
    # Annotations may hold many clips. A file that names its one image size holds one, however it calls its pictures.
    if 'imgname' in held and detections.image_size_px is None:
        table = parse_image_names(path, np.asarray(detections.names))
        if len(table.clips) > 1 or (np.diff(table.frame_number) < 1).any():
            raise DataError(path, 'key imgname', f'{len(table.clips)} clips', 'one clip, its frames in order',
                            'Write the rows of every clip to a file of their own, or pass arrays.')
    return arrays, detections.names, detections.image_size_px


def _split_columns(source: str, given: Mapping[str, ArrayLike]) -> dict[str, np.ndarray]:
    whole = _as_array(source, keys.KEYPOINTS_PX, given[keys.KEYPOINTS_PX])
    if whole.ndim != 3 or whole.shape[1] != _K or whole.shape[2] not in _COLUMNS or not len(whole):
        raise DataError(source, 'keypoints', f'shape {whole.shape}', f'(T, {_K}, n) with T >= 1 and n among '
                        f'{tuple(_COLUMNS)}: x, y, then confidence, depth, and nearest and farthest depth')
    arrays, column = {}, 0
    for key in _COLUMNS[whole.shape[2]]:
        width = 2 if key.endswith('_px') else 1
        part = whole[..., column:column + width]
        arrays[key] = part if width == 2 else part[..., 0]
        column += width
    twice = sorted((set(arrays) & set(given)) - {keys.KEYPOINTS_PX})
    if twice:
        raise DataError(source, twice[0], f'a column of the {whole.shape[2]} columns and an array of its own',
                        'one of the two')
    return arrays | {key: _as_array(source, key, value) for key, value in given.items() if key != keys.KEYPOINTS_PX}


def _as_array(source: str, key: str, value: ArrayLike) -> np.ndarray:
    array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    if array.dtype.kind not in 'biuf':
        raise DataError(source, key, f'dtype {array.dtype}', 'numbers')
    return array if key in _FEATURES and array.dtype.kind == 'f' else array.astype(np.float32)


def _to_h36m(key: str, array: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Joints of COCO -> Human3.6M; means only where every joint in them is known."""
    if key == keys.KEYPOINTS_VALID:
        return _all_of(valid)
    flat = array[..., None] if array.ndim == 2 else array                                 # (T, K, C)
    moved = coco_to_h36m(np.nan_to_num(flat, nan=0, posinf=0, neginf=0)).reshape(array.shape)
    if key in _DEPTHS:
        return np.where(_all_of(np.isfinite(array) & (array > 0)), moved, 0)
    return np.where(_all_of(valid)[..., None], moved, 0) if key == keys.KEYPOINTS_PX else moved


def _all_of(known: np.ndarray) -> np.ndarray:
    """(T, K) bool per COCO joint -> per Human3.6M joint: all that it is made of."""
    return coco_to_h36m(known[..., None].astype(np.float32))[..., 0] > 0.999


def _check_units(clip: KeypointClip) -> None:
    valid, points = clip.valid, clip.arrays[keys.KEYPOINTS_PX][clip.valid]                # (n, 2)
    if not valid.any():
        raise DataError(clip.source, 'keypoints', f'no detection in any of {len(clip)} frames', 'at least one')
    size = clip.image_size_px
    if np.abs(points).max() <= _NORMALISED:
        raise DataError(clip.source, 'keypoints', f'coordinates up to {np.abs(points).max():.3g}', 'pixels',
                        'Normalised coordinates must be multiplied by the image size.')
    outside = ((points < 0) | (points > size)).any(-1).mean()
    if outside > 0.5:
        raise DataError(clip.source, 'keypoints', f'{outside:.0%} of the joints outside of {size[0]:.0f} x '
                        f'{size[1]:.0f} px', 'most of them in the image', 'Is image_size_px (width, height), and of '
                        'the same picture?')
    if keys.CONFIDENCE in clip.arrays:
        low, high = _finite_range(clip.arrays[keys.CONFIDENCE][valid])
        if low < _SCORE_RANGE[0] or high > _SCORE_RANGE[1]:
            raise DataError(clip.source, keys.CONFIDENCE, f'values from {low:.3g} to {high:.3g}', 'scores in [0, 1]')
    for key in set(_DEPTHS) & set(clip.arrays):
        known = clip.arrays[key][np.isfinite(clip.arrays[key]) & (clip.arrays[key] > 0)]
        median = float(np.median(known)) if known.size else 1.0
        if not _DEPTH_RANGE_M[0] <= median <= _DEPTH_RANGE_M[1]:
            raise DataError(clip.source, key, f'a median of {median:.4g}', 'metres',
                            'Depth in millimetres must be divided by 1000; relative (inverse) depth is no depth.')


def _finite_range(values: np.ndarray) -> tuple[float, float]:
    values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
