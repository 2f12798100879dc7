"""Does a lifting annotation hold what its format promises? Every row is looked at, in chunks."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from motionlab.body.cameras import fit_pinhole
from motionlab.body.skeletons import H36M_17
from motionlab.codecs import lifting_batch as keys
from motionlab.datasets.lifting_inputs import LiftingInputs
from motionlab.datasets.store import take_rows
from motionlab.utils import DataError

_K = len(H36M_17)
# Allowed shapes of one frame; keys that are absent here are not per-frame and not looked at.
_FRAME_SHAPES = {
    'center': [(2,)], 'scale': [(), (1,), (2,)], 'part': [(_K, 3)], 'S': [(_K, 4), (_K, 3)],
    'predicted_keypoints': [(_K, 2)], 'predicted_keypoints_score': [(_K,), (_K, 1)],
    'predicted_da_depth': [(_K,), (_K, 1)], 'predicted_valid': [(_K,)], 'summary_casp_descriptor_10d': [(_K, 10)],
    'casp_descriptors': [(_K, 19)], 'predicted_depth_min': [(_K,), (_K, 1)], 'predicted_depth_max': [(_K,), (_K, 1)],
    'predicted_depth_min_px': [(_K, 2)], 'predicted_depth_max_px': [(_K, 2)], 'rtm_joint_feats': [(_K, None)],
    'dav2_joint_feats': [(_K, None)],
}
_DEPTHS = {keys.DEPTH_M: 'depths', keys.DEPTH_MIN_M: 'nearest depths', keys.DEPTH_MAX_M: 'farthest depths'}
_CHUNK = 8192                   # Rows that fit the cache.
_SAMPLES_PER_CLIP = 16          # Rows per clip for medians.
_FEATURE_ROWS = 1024            # Feature maps are too large to look at all.
_ROOT_DISTANCE_M = (1.0, 20.0)
_BONE_LENGTH_M = (0.05, 1.0)
_DEPTH_RATIO = (0.1, 10.0)      # Median of predicted over true depth; millimetres give 1000.
_SCORE_RANGE = (-0.5, 5.0)      # SimCC scores exceed 1 a little; percentages and logits are something else.
_OUTSIDE_SHARE = 0.01
_REPROJECTION_SHARE = 0.05      # Of the image width; lens distortion stays far below.
_FOCAL_SHARE = (0.25, 20.0)     # Of the image width; wide-angle lenses reach 0.4, world axes fit 0.2 or less than 0.
_FIT_JOINTS = 34                # Fewer tell no focal length.


@dataclass
class ScanResult:
    """What the scan of all rows found.

    Args:
        valid: (N, 17) joints with a usable 2D point (a detection, or a visible true point).
        counts: How many values were repaired or masked, by reason.
    """

    valid: np.ndarray
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, reason: str, number: int) -> None:
        """Count ``number`` more values of this ``reason``."""
        self.counts[reason] = self.counts.get(reason, 0) + int(number)


def check_shapes(file: Path, arrays: dict[str, np.ndarray]) -> None:
    """All per-frame arrays have as many rows as ``imgname``, the shape of the format, and hold numbers."""
    rows = len(arrays['imgname'])
    for key in [key for key in _FRAME_SHAPES if key in arrays]:
        shapes, array = _FRAME_SHAPES[key], arrays[key]
        expected = ' or '.join(str((rows, *shape)).replace(',)', ')').replace('None', 'any') for shape in shapes)
        if array.dtype.kind not in ('biu' if key == 'predicted_valid' else 'fiu'):
            raise DataError(file, f'key {key}', f'dtype {array.dtype}',
                            'booleans' if key == 'predicted_valid' else 'floating-point numbers')
        if not any(len(shape) == array.ndim - 1 and all(want in (None, got) for want, got in zip(
                shape, array.shape[1:])) for shape in shapes):
            raise DataError(file, f'key {key}', f'shape {array.shape}', f'shape {expected}')
        if len(array) != rows:
            raise DataError(file, f'key {key}', f'shape {array.shape}', f'shape {expected}, a row per imgname',
                            f'The first row without a partner is {min(len(array), rows)}.')


def scan_rows(file: Path, arrays: dict[str, np.ndarray], inputs: LiftingInputs, camera_of_row: np.ndarray,
              image_size_px: np.ndarray, camera_names: list[str]) -> ScanResult:
    """Look at every number that will be handed out.

    Args:
        file: Named in errors.
        arrays: The annotation, its shapes checked.
        inputs: Which arrays become inputs.
        camera_of_row: (N,) camera of every row.
        image_size_px: (M, 2) width and height of every camera.
        camera_names: M names for errors.

    Raises:
        DataError: Naming key and first bad row; for image sizes naming the camera.
    """
    rows = len(camera_of_row)
    result = ScanResult(valid=np.empty((rows, _K), dtype=bool))
    outside = np.zeros((len(camera_names), 3), dtype=np.int64)  # Visible joints: all, x > w, y > h.
    for first in range(0, rows, _CHUNK):
        here = slice(first, min(first + _CHUNK, rows))
        chunk = {key: np.array(arrays[key][here]) for key in _keys_in_use(arrays, inputs)}
        truth_visible, seen_2d = _scan_truth(file, arrays['imgname'], first, chunk, result)
        camera = camera_of_row[here]
        size = image_size_px[camera][:, None]                                               # (n, 1, 2)
        beyond = (chunk['part'][..., :2] > size) & seen_2d[..., None]                        # (n, K, 2)
        for column, found in enumerate((seen_2d, beyond[..., 0], beyond[..., 1])):
            outside[:, column] += np.bincount(camera, weights=found.sum(axis=1), minlength=len(outside)).astype(int)
        if inputs.detected:
            picked = {key: at.pick(chunk[at.key]) for key, at in inputs.fields.items()}
            valid = _scan_detections(file, arrays['imgname'], first, picked, chunk.get('predicted_valid'), result)
            _scan_depths(file, arrays['imgname'], first, picked, valid, inputs, result)
            result.valid[here] = valid
        else:
            result.valid[here] = seen_2d & truth_visible
            result.add('part and S: joints hidden in one of them, masked', (~result.valid[here]).sum())
    for column, (axis, side) in enumerate((('x', 'width w'), ('y', 'height h')), start=1):
        bad = np.flatnonzero(outside[:, column] > _OUTSIDE_SHARE * outside[:, 0])
        if bad.size:
            camera = bad[0]
            share = 100 * outside[camera, column] / outside[camera, 0]
            raise DataError(file, f"camera {camera_names[camera]}", f'{side} {image_size_px[camera, column - 1]:g} px '
                            f'with {share:.1f} % of the visible joints of part beyond it', f'at most 1 % with {axis} > '
                            f'{side[-1]}', 'Correct w and h of this camera (swapped or wrong), or mark joints outside '
                            'of the image invisible.')
    return result


def check_units(file: Path, arrays: dict[str, np.ndarray], inputs: LiftingInputs, rows: np.ndarray,
                clip_starts: np.ndarray, clip_lengths: np.ndarray, cameras: dict[str, np.ndarray],
                camera_of_clip: np.ndarray) -> None:
    """Medians per clip: root distance, bone lengths, depth against truth, projection against 2D points.

    Args:
        file: Named in errors.
        arrays: The annotation, scanned.
        inputs: Which arrays become inputs.
        rows: (P,) rows sorted by clip and frame.
        clip_starts: (C,) first position of every clip in ``rows``.
        clip_lengths: (C,) rows of every clip, >= 1.
        cameras: The camera file's arrays.
        camera_of_clip: (C,) position of every clip's camera in ``cameras``.
    """
    share = np.linspace(0, 1, _SAMPLES_PER_CLIP)
    picked = rows[clip_starts[:, None] + (share * (clip_lengths[:, None] - 1)).astype(int)]     # (C, s)
    joints = take_rows(arrays['S'], picked).astype(np.float64)                                 # (C, s, K, 3 or 4)
    part = take_rows(arrays['part'], picked).astype(np.float64)                                # (C, s, K, 3)
    seen_2d = part[..., 2] > 0.5
    seen = joints[..., 3] > 0.5 if joints.shape[-1] == 4 else seen_2d                          # (C, s, K)
    joints = np.where(seen[..., None], joints[..., :3], np.nan)
    place = _Places(file, arrays['imgname'], picked[:, 0])
    place.check_medians('S', 'distance of the root from the camera', np.linalg.norm(joints[..., 0, :], axis=-1),
                        _ROOT_DISTANCE_M, ' m', 'S must be metres in camera axes; millimetres are 1000 times larger.')
    for parent, child in H36M_17.bones:
        name = f'length of bone {H36M_17.joint_names[parent]}-{H36M_17.joint_names[child]}'
        place.check_medians('S', name, np.linalg.norm(joints[..., parent, :] - joints[..., child, :], axis=-1),
                            _BONE_LENGTH_M, ' m', 'S must be metres, joints in Human3.6M order.')
    depth = joints[..., 2]
    depth[~(depth > 0)] = np.nan
    width = cameras['w'][camera_of_clip].reshape(-1, 1, 1, 1)
    if {'f', 'c'} <= cameras.keys():
        focal, centre = (cameras[key][camera_of_clip].reshape(-1, 1, 1, 2) for key in 'fc')
        pixels = joints[..., :2] / depth[..., None] * focal + centre                           # (C, s, K, 2)
        away = np.linalg.norm(pixels - part[..., :2], axis=-1) / width[..., 0]
        place.check_medians('S', 'distance of projected S from part, over image width,',
                            np.where(seen_2d, away, np.nan).reshape(len(picked), -1), (0, _REPROJECTION_SHARE), '',
                            'S is not in the axes of its camera, or f, c or w belong to another one.')
    else:
        place.check_medians('S', 'focal length that takes S to part, over image width,',
                            _fitted_focals(joints, part[..., :2], seen_2d) / width[:, 0, 0], _FOCAL_SHARE, '',
                            'S is not in camera axes (x right, y down, z forward).')
    for at, what in ((inputs.fields[key], what) for key, what in _DEPTHS.items() if key in inputs.fields):
        measured = at.pick(take_rows(arrays[at.key], picked)).astype(np.float64)                # (C, s, K)
        ratio = np.where(measured > 0, measured, np.nan) / depth
        place.check_medians(at.key, f'{what[:-1]} over true depth', ratio.reshape(len(picked), -1), _DEPTH_RATIO, '',
                            'Depth must be metres.')


def _fitted_focals(joints: np.ndarray, points: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(C, 2) focal lengths, px, of joints (C, s, K, 3) at points (C, s, K, 2); NaN where too few are seen."""
    known = seen & np.isfinite(joints).all(-1) & np.isfinite(points).all(-1)                    # (C, s, K)
    return np.stack([fit_pinhole(xyz[at], xy[at])[0] if at.sum() >= _FIT_JOINTS else np.full(2, np.nan)
                     for xyz, xy, at in zip(joints, points, known)])


def check_features(file: Path, arrays: dict[str, np.ndarray], inputs: LiftingInputs, rows: np.ndarray,
                   valid: np.ndarray) -> None:
    """Features of up to 1024 rows, evenly spread over ``rows`` (P,), are finite at ``valid`` (N, 17) joints."""
    looked_at = rows[np.linspace(0, len(rows) - 1, min(len(rows), _FEATURE_ROWS)).astype(int)]
    for key in inputs.feature_arrays.values():
        bad = ~np.isfinite(take_rows(arrays[key], looked_at)).all(axis=-1) & valid[looked_at]
        if bad.any():
            row, joint = (int(i) for i in np.argwhere(bad)[0])
            raise DataError(file, f'{key}[{looked_at[row]}][{joint}] ({H36M_17.joint_names[joint]})',
                            'a number that is not finite at a detected joint', 'finite numbers',
                            'Extract the features again, or set features=().')


def _keys_in_use(arrays: dict[str, np.ndarray], inputs: LiftingInputs) -> list[str]:
    used = ['S', 'part', *dict.fromkeys(at.key for at in inputs.fields.values())]
    return used + ['predicted_valid'] * (inputs.detected and 'predicted_valid' in arrays)


def _scan_truth(file: Path, names: np.ndarray, first: int, chunk: dict[str, np.ndarray],
                result: ScanResult) -> tuple[np.ndarray, np.ndarray]:
    """(n, K) visible in 3D and (n, K) visible in 2D; finite where visible, root in front of the camera."""
    joints, part = chunk['S'], chunk['part']
    seen_2d = part[..., 2] > 0.5
    visible = joints[..., 3] > 0.5 if joints.shape[-1] == 4 else seen_2d
    for key, values, seen in (('S', joints, visible), ('part', part, seen_2d)):
        finite = np.isfinite(values)
        if finite.all():
            continue
        _refuse(file, names, first, f'{key}', ~finite[..., -1] | (~finite.all(axis=-1) & seen),
                'a number that is not finite at a visible joint', 'finite numbers')
        result.add(f'{key}: hidden joints that are not finite', (~finite.all(axis=-1)).sum())
    _refuse(file, names, first, 'S', (joints[:, 0, 2] <= 0) & visible[:, 0], 'a root with depth Z <= 0',
            'camera axes: x right, y down, z forward', 'World coordinates must be moved into the camera first.')
    return visible, seen_2d


def _scan_detections(file: Path, names: np.ndarray, first: int, picked: dict[str, np.ndarray],
                     claims: np.ndarray | None, result: ScanResult) -> np.ndarray:
    """(n, K) joints with a detection; counts what was clipped or masked."""
    points, score = picked[keys.KEYPOINTS_PX], picked[keys.CONFIDENCE]                   # (n, K, 2), (n, K)
    finite = np.isfinite(points).all(axis=-1) & np.isfinite(score)
    claimed = (points != 0).any(axis=-1)  # Missing detections are written as zeros, some with the score of a truth.
    if claims is not None:
        claimed &= claims.view(np.uint8).reshape(*score.shape, -1).any(axis=-1)
    valid = claimed & finite
    _refuse(file, names, first, 'predicted_keypoints_score',
            valid & ((score < _SCORE_RANGE[0]) | (score > _SCORE_RANGE[1])),
            f'a confidence outside {list(_SCORE_RANGE)}', 'confidences in [0, 1]', 'Logits and percentages are not.')
    result.add('predicted_keypoints and their score: not finite, masked', (claimed & ~finite).sum())
    result.add('predicted_keypoints: joints without a detection, masked', (~claimed).sum())
    result.add('predicted_keypoints_score: outside [0, 1], clipped', (valid & ((score < 0) | (score > 1))).sum())
    return valid


def _scan_depths(file: Path, names: np.ndarray, first: int, picked: dict[str, np.ndarray], valid: np.ndarray,
                 inputs: LiftingInputs, result: ScanResult) -> None:
    """Count what will be masked; the nearest depth must not lie beyond the farthest."""
    known = {}
    for key in [key for key in _DEPTHS if key in picked]:
        known[key] = np.isfinite(picked[key]) & (picked[key] > 0)                        # (n, K)
        result.add(f'{inputs.fields[key].place}: zero, negative or not finite, masked', (valid & ~known[key]).sum())
    for key in [key for key in (keys.DEPTH_MIN_PX, keys.DEPTH_MAX_PX) if key in picked]:
        unknown = ~np.isfinite(picked[key]).all(axis=-1)
        result.add(f'{inputs.fields[key].place}: not finite, masked', (valid & unknown).sum())
    if keys.DEPTH_MIN_M in picked:
        near, far = keys.DEPTH_MIN_M, keys.DEPTH_MAX_M
        _refuse(file, names, first, inputs.fields[near].key,
                valid & known[near] & known[far] & (picked[near] > picked[far]),
                'a nearest depth beyond the farthest', f'at most {inputs.fields[far].key}')


def _refuse(file: Path, names: np.ndarray, first: int, key: str, bad: np.ndarray, found: str, expected: str,
            hint: str = '') -> None:
    """Raise for the first row (and joint) where ``bad`` (n,) or (n, K) holds."""
    if bad.any():
        row, *joint = (int(i) for i in np.argwhere(bad)[0])
        place = f'{key}[{first + row}]' + ''.join(f'[{j}] ({H36M_17.joint_names[j]})' for j in joint)
        raise DataError(file, place, f'{found} in {names[first + row]}', expected, hint)


@dataclass(frozen=True)
class _Places:
    """Where a clip's check looked first, for errors."""

    file: Path
    names: np.ndarray
    rows: np.ndarray  # (C,) first row of every clip

    def check_medians(self, key: str, quantity: str, values: np.ndarray, limits: tuple[float, float], unit: str,
                      hint: str) -> None:
        """Raise for the first clip whose median of ``values`` (C, n), NaN left out, is beyond ``limits``."""
        values = np.sort(np.where(np.isfinite(values), values, np.nan), axis=1)  # NaN goes last.
        middle = np.maximum(np.isfinite(values).sum(axis=1) - 1, 0) // 2
        median = values[np.arange(len(values)), middle]                          # (C,), NaN where nothing is known
        bad = np.flatnonzero((median < limits[0]) | (median > limits[1]))
        if bad.size:
            row = self.rows[bad[0]]
            raise DataError(self.file, f'{key}[{row}] ({self.names[row]})',
                            f'median {quantity} {median[bad[0]]:.3g}{unit} in this clip',
                            f'{limits[0]:g} to {limits[1]:g}{unit}', hint)
