"""What 2D keypoint detectors write -> one person per frame, Human3.6M order.

Read are the JSON files of mmpose's inferencer and of its demo script, a folder with one such file per image, and
``.npz`` arrays. A file cannot tell which 17 joints it holds, so the caller has to.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from motionlab.body.skeletons import H36M_17, coco_to_h36m
from motionlab.datasets.store import open_npz, require_keys
from motionlab.utils import ConfigError, DataError

KEYPOINT_FORMATS = ('h36m17', 'coco17')
_K = len(H36M_17)
_WRITER = "mmpose's inferencer writes such files (pred_out_dir=...), with a model of 17 body keypoints."


@dataclass(frozen=True)
class Detections:
    """Keypoints of one person over T frames, joints in Human3.6M order.

    Args:
        names: T image names, without folder where they come from JSON and then without suffix too; None where frames
            have no names.
        keypoints_px: (T, 17, 2) float32 image pixels, 0 where absent.
        confidence: (T, 17) float32 as the detector gave it, 0 where absent.
        valid: (T, 17) bool, joints with a detection; a joint that is a mean of COCO joints needs all of these.
        image_size_px: (2,) float32 width and height, or None where the file does not tell.
        counts: What was left out, by reason.
    """

    names: list[str] | None
    keypoints_px: np.ndarray
    confidence: np.ndarray
    valid: np.ndarray
    image_size_px: np.ndarray | None = None
    counts: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.keypoints_px)


def load_detections(path: str | Path, keypoint_format: str) -> Detections:
    """Read detections; the person with the highest mean keypoint score is taken in every frame.

    Args:
        path: ``.json``: a list of frames, each ``{'frame_id': 0, 'instances': [...]}`` or a list of instances (also
            under ``instance_info``), or the instances of one image; an instance holds ``keypoints`` (17, 2) pixels and
            ``keypoint_scores`` (17,). A folder of ``.json`` files, one per image. ``.npz`` with ``keypoints``
            (T, 17, 2 or 3: x, y, score), ``scores`` (T, 17), ``image_size`` (2,) and optionally ``names`` (T,), or
            with ``predicted_keypoints``, ``predicted_keypoints_score`` and optionally ``predicted_valid``, ``imgname``
            as lifting annotations have them.
        keypoint_format: ``'coco17'`` or ``'h36m17'``: which joints the file holds, in which order.

    Returns:
        Frames without a person are not ``valid``, and are counted.

    Raises:
        ConfigError: Unknown keypoint format.
        DataError: Nothing there, or a frame that breaks the format; file, frame and field are named.
    """
    if keypoint_format not in KEYPOINT_FORMATS:
        raise ConfigError(f'keypoint_format: found {keypoint_format!r}, expected one of {KEYPOINT_FORMATS}. Both have '
                          '17 joints in different order: only you know which it is.')
    path = Path(path)
    if path.suffix.lower() == '.npz':
        return _load_npz(path, keypoint_format)
    if path.is_dir():
        files = sorted(path.glob('*.json'), key=lambda file: natural_order(file.name))
        if not files:
            raise DataError(path, 'folder', 'no .json file', 'one .json file per image', _WRITER)
        frames = []
        for file in files:
            held = _frames_of(file, _read_json(file))
            if len(held) != 1:
                raise DataError(file, 'frames', len(held), '1: in a folder every file belongs to one image',
                                'Give the path of the file itself if it belongs to a video.')
            frames.append((file, held[0]))
        names = [file.stem for file in files]
    elif path.is_file():
        content = _frames_of(path, _read_json(path))
        frames, names = [(path, frame) for frame in content], None
    else:
        raise DataError(path, 'file', 'nothing at this path', 'a .json or .npz file, or a folder of .json files')
    counts = {'frames without a person': 0, 'frames with several persons': 0}
    points = np.full((len(frames), _K, 2), np.nan)
    scores = np.zeros((len(frames), _K))
    for t, (file, (place, instances)) in enumerate(frames):
        counts['frames without a person'] += not instances
        counts['frames with several persons'] += len(instances) > 1
        persons = [_person(file, f'{place}instances[{i}]', instance) for i, instance in enumerate(instances)]
        if persons:
            points[t], scores[t] = max(persons, key=lambda person: np.nan_to_num(person[1]).mean())
    return in_h36m_order(keypoint_format, names, points, scores, np.ones(scores.shape, bool), None, counts)


def natural_order(name: str) -> list[tuple[int, int | str]]:
    """Sort key that puts ``frame_2`` before ``frame_10``."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r'(\d+)', name) if part]


def _read_json(file: Path) -> object:
    try:
        return json.loads(file.read_text(encoding='utf-8'))
    except (json.JSONDecodeError, UnicodeDecodeError, OSError, RecursionError) as error:
        raise DataError(file, 'file', f'{type(error).__name__}: {error}', 'JSON text', _WRITER) from error


def _frames_of(file: Path, content: object) -> list[tuple[str, list]]:
    """Per frame where it is (for errors) and its list of instances."""
    if isinstance(content, dict):
        content = content.get('instance_info', content.get('instances'))
    if not isinstance(content, list):
        raise DataError(file, 'content', _kind(content), 'a list of frames or of instances', _WRITER)
    if not content or (isinstance(content[0], dict) and 'keypoints' in content[0]):
        return [('', content)]  # One image; an empty list is one on which nobody was found.
    frames, numbers = [], []
    for i, frame in enumerate(content):
        held = frame.get('instances') if isinstance(frame, dict) else frame
        if not isinstance(held, list):
            raise DataError(file, f'frame[{i}].instances', _kind(held), 'a list of persons', _WRITER)
        frames.append((f'frame[{i}].', held))
        numbers.append(frame.get('frame_id') if isinstance(frame, dict) else None)
    if all(number is None for number in numbers):
        return frames
    return _by_number(file, frames, numbers)


def _by_number(file: Path, frames: list, numbers: list) -> list:
    """Frames in the order of their numbers; numbers that are left out become frames without a person."""
    expected = 'frame numbers from 0 (or 1) on, every one once'
    found = {}
    for i, (number, frame) in enumerate(zip(numbers, frames)):
        if not isinstance(number, int) or isinstance(number, bool) or number < 0 or number in found:
            raise DataError(file, f'frame[{i}].frame_id', repr(number), expected)
        found[number] = frame
    if min(numbers) > 1:
        raise DataError(file, f'frame[{numbers.index(min(numbers))}].frame_id', f'{min(numbers)} as the first frame',
                        expected, 'Frames before it are missing; write them with an empty list of instances.')
    if max(numbers) > 100 * len(numbers) + 1000:
        raise DataError(file, f'frame[{numbers.index(max(numbers))}].frame_id',
                        f'{max(numbers)} in a file of {len(numbers)} frames', expected)
    return [found.get(number, ('', [])) for number in range(min(numbers), max(numbers) + 1)]


def _person(file: Path, place: str, instance: object) -> tuple[np.ndarray, np.ndarray]:
    """(17, 2) pixels and (17,) scores of one instance."""
    if not isinstance(instance, dict):
        raise DataError(file, place, _kind(instance), 'an object with keypoints and keypoint_scores', _WRITER)
    arrays = []
    for key, shapes in (('keypoints', [(_K, 2), (_K, 3)]), ('keypoint_scores', [(_K,)])):
        if key not in instance:
            raise DataError(file, f'{place}.{key}', f'only {sorted(instance)}', 'this key', _WRITER)
        try:
            array = np.array(instance[key])
        except ValueError:
            array = np.array(None)  # Rows of unequal length.
        if array.dtype.kind not in 'iuf' or array.shape not in shapes:
            found = f'shape {array.shape}' if array.dtype.kind in 'iuf' else f'{_kind(instance[key])} of other things'
            raise DataError(file, f'{place}.{key}', found, f'numbers of shape {" or ".join(map(str, shapes))}', _WRITER)
        arrays.append(array.astype(float))
    return arrays[0][:, :2], arrays[1]


def _load_npz(path: Path, keypoint_format: str) -> Detections:
    arrays = open_npz(path)
    annotation = 'predicted_keypoints' in arrays
    if annotation and keypoint_format != 'h36m17':
        raise DataError(path, 'keypoint_format', keypoint_format, "'h36m17' for predicted_keypoints",
                        'Lifting annotations hold joints in Human3.6M order.')
    prefix, score_key, name_key = (('predicted_', 'predicted_keypoints_score', 'imgname') if annotation
                                   else ('', 'scores', 'names'))
    require_keys(path, arrays, (f'{prefix}keypoints',), 'Detections are stored as keypoints and scores, or as '
                 'predicted_keypoints and predicted_keypoints_score.')
    points = _numbers(path, f'{prefix}keypoints', arrays, lambda s: len(s) == 3 and s[1] == _K and s[2] in (2, 3),
                      '(T, 17, 2 or 3)')
    if points.shape[2] == 3 and score_key not in arrays:
        arrays[score_key] = points[..., 2]
    require_keys(path, arrays, (score_key,), 'Confidences are the third column of keypoints, or an array of their own.')
    frames = len(points)
    scores = _numbers(path, score_key, arrays, lambda s: s in ((frames, _K), (frames, _K, 1)), f'({frames}, 17)')
    claimed = np.ones((frames, _K), bool)
    if f'{prefix}valid' in arrays:
        claimed = _numbers(path, f'{prefix}valid', arrays, lambda s: s == (frames, _K), f'({frames}, 17)') > 0
    names = arrays.get(name_key)
    if names is not None and (names.dtype.kind not in 'US' or names.shape != (frames,)):
        raise DataError(path, f'key {name_key}', f'{names.dtype} of shape {names.shape}', f'text of shape ({frames},)')
    size = None
    if 'image_size' in arrays:
        size = _numbers(path, 'image_size', arrays, lambda s: s == (2,), '(2,): width and height').astype(np.float32)
        if not (np.isfinite(size) & (size > 0)).all():
            raise DataError(path, 'key image_size', size.tolist(), 'width and height above 0')
    points, scores = points[..., :2].astype(float), scores.reshape(frames, _K).astype(float)
    found = claimed & (points != 0).any(-1) & np.isfinite(points).all(-1)  # (T, 17)
    counts = {'frames without a person': int((~found).all(1).sum())}
    names = None if names is None else names.astype(str).tolist()
    return in_h36m_order(keypoint_format, names, points, scores, claimed, size, counts)


def _numbers(path: Path, key: str, arrays: dict[str, np.ndarray], fits, expected: str) -> np.ndarray:
    array = np.array(arrays[key])
    if array.dtype.kind not in 'biuf' or not fits(array.shape):
        raise DataError(path, f'key {key}', f'{array.dtype} of shape {array.shape}', f'numbers of shape {expected}')
    return array


def in_h36m_order(keypoint_format: str, names: list[str] | None, points: np.ndarray, scores: np.ndarray,
                  claimed: np.ndarray, size: np.ndarray | None, counts: dict[str, int]) -> Detections:
    """Detections from ``points`` (T, 17, 2), ``scores`` and ``claimed`` (T, 17) of a keypoint format.

    What is not claimed, not finite, or at x = y = 0 is not valid: so missing detections are written.
    """
    zero = claimed & (points == 0).all(-1)  # (T, 17)
    valid = claimed & ~zero & np.isfinite(points).all(-1) & np.isfinite(scores)  # (T, 17)
    absent = claimed & ~valid & valid.any(1, keepdims=True)
    counts['joints that are not finite, in frames with a person'] = int((absent & ~zero).sum())
    counts['joints at x = y = 0, taken for absent, in frames with a person'] = int((absent & zero).sum())
    points, scores = np.where(valid[..., None], points, 0), np.where(valid, scores, 0)
    if keypoint_format == 'coco17':
        moved = coco_to_h36m(np.concatenate([points, scores[..., None], valid[..., None]], axis=-1))  # (T, 17, 4)
        valid = moved[..., 3] > 0.999  # All joints of a mean.
        points, scores = np.where(valid[..., None], moved[..., :2], 0), np.where(valid, moved[..., 2], 0)
    return Detections(names, points.astype(np.float32), scores.astype(np.float32), valid, size,
                      {reason: number for reason, number in counts.items() if number})


def _kind(value: object) -> str:
    return 'nothing' if value is None else f'a {type(value).__name__}'
