"""One lifting annotation and its cameras: opened, checked, and cut into clips and unbroken runs of frames."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from motionlab.datasets.camera_pickle import read_camera_pickle
from motionlab.datasets.lifting_checks import check_features, check_shapes, check_units, scan_rows
from motionlab.datasets.lifting_clips import Clip, ClipTable, parse_image_names
from motionlab.datasets.lifting_inputs import LiftingInputs
from motionlab.datasets.store import open_npz, require_keys
from motionlab.utils import ConfigError, DataError

_TRUTH_KEYS = ('imgname', 'part', 'S')
_CAMERA_SHAPES = {'R': [(3, 3)], 'T': [(3, 1), (3,)], 'f': [(2,), (2, 1)], 'c': [(2,), (2, 1)], 'k': [(3,), (3, 1)],
                  'p': [(2,), (2, 1)], 'w': [()], 'h': [()], 'fps': [()]}
CAMERA_PICKLES = ('.pkl', '.pickle')
_CONVERTER = 'Files in this format are written by tools/dataset_converters/amass_to_lifting.py.'


@dataclass
class LiftingAnnotation:
    """A checked annotation. N file rows, P rows in use, C clips, G runs.

    A run is a stretch of one clip in which frame numbers grow by the stride of the file: windows stay inside runs.

    Args:
        file: Path of the annotation.
        arrays: Memory-mapped arrays by key, in file order.
        valid: (N, 17) bool, joints with a usable 2D point.
        rows: (P,) int64, file rows in use, sorted by clip name and frame number.
        clips: C clips, sorted by name.
        run_starts: (G,) first position of every run in ``rows``.
        run_lengths: (G,) rows of every run.
        run_clips: (G,) clip of every run.
        run_frames: (G,) position of every run's first frame within its clip; positions of two runs never adjoin.
        image_size_px: (C, 2) float32, width and height.
        fps: Frames per second of the rows where the cameras tell and agree, else None.
        counts: Values repaired or masked and frames dropped, by reason.
    """

    file: Path
    arrays: dict[str, np.ndarray]
    valid: np.ndarray
    rows: np.ndarray
    clips: list[Clip]
    run_starts: np.ndarray
    run_lengths: np.ndarray
    run_clips: np.ndarray
    run_frames: np.ndarray
    image_size_px: np.ndarray
    fps: float | None
    counts: dict[str, int]

    def __getstate__(self) -> dict:
        # Pickling a map would copy its numbers into every worker; they map the file again instead.
        return {key: value for key, value in self.__dict__.items() if key != 'arrays'}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state, arrays=open_npz(state['file'], verify=()))


def load_lifting_annotation(ann_file: str | Path, camera_file: str | Path | None = None,
                            inputs: LiftingInputs | None = None, missing_detections: str = 'drop',
                            frame_stride: int | None = None) -> LiftingAnnotation:
    """Open and check an annotation (AugLift / mmpose schema; a few seconds for a million rows).

    Args:
        ann_file: ``.npz`` (or folder of ``.npy``) with ``imgname`` (N,), ``part`` (N, 17, 3), ``S`` (N, 17, 4 or 3)
            and what ``inputs`` ask for: by default ``predicted_keypoints`` (N, 17, 2), ``predicted_keypoints_score``
            and ``predicted_da_depth`` (N, 17); optionally ``predicted_valid`` (N, 17).
        camera_file: ``.npz`` with ``camera_name``, ``w``, ``h`` (M,) and optionally ``R T f c k p fps``, or the
            ``.pkl`` of mmpose or AugLift; default ``<ann_file>_cameras.npz``. A clip's camera is found by clip name,
            subject and camera id, or camera id.
        inputs: Which arrays become inputs; None: detections with depth.
        missing_detections: What happens to frames in which no joint was detected: ``'drop'`` (clips break there),
            ``'keep'`` or ``'error'``.
        frame_stride: Growth of the frame number from one row of a clip to the next; None for the most frequent one.

    Raises:
        DataError: The file breaks its format; file, key, first bad row, found and expected are named.
    """
    ann_file = Path(ann_file)
    camera_file = Path(camera_file) if camera_file else ann_file.with_name(f'{ann_file.stem}_cameras.npz')
    if missing_detections not in ('drop', 'keep', 'error'):
        raise ConfigError(f"missing_detections={missing_detections!r}: expected 'drop', 'keep' or 'error'.")
    inputs = LiftingInputs() if inputs is None else inputs
    # Feature maps are far larger than the rest: their checksum would take minutes.
    arrays = open_npz(ann_file, verify=(*_TRUTH_KEYS, 'predicted_valid', *(at.key for at in inputs.fields.values())))
    inputs.require(ann_file, arrays, _TRUTH_KEYS, _CONVERTER)
    check_shapes(ann_file, arrays)
    inputs.check_widths(ann_file, arrays)
    if not len(arrays['imgname']):
        raise DataError(ann_file, 'key imgname', '0 rows', 'at least one frame', _CONVERTER)
    table = parse_image_names(ann_file, arrays['imgname'])
    cameras = load_cameras(camera_file)
    camera_of_clip = _find_cameras(camera_file, cameras, table.clips)
    size = np.stack([cameras['w'], cameras['h']], axis=-1).astype(np.float32)               # (M, 2)
    scan = scan_rows(ann_file, arrays, inputs, camera_of_clip[table.clip_of_row], size,
                     cameras['camera_name'].tolist())

    rows = _sorted_rows(ann_file, table, arrays['imgname'])
    clip_lengths = np.bincount(table.clip_of_row, minlength=len(table.clips))
    check_units(ann_file, arrays, inputs, rows, np.cumsum(clip_lengths) - clip_lengths, clip_lengths, cameras,
                camera_of_clip)
    check_features(ann_file, arrays, inputs, rows, scan.valid)
    found_stride = _most_frequent_stride(table, rows) if frame_stride is None else frame_stride
    if inputs.detected:
        rows = _without_missing(ann_file, arrays['imgname'], rows, scan.valid, missing_detections, scan.counts)
    starts, lengths, clips, frames = _runs(table, rows, found_stride)
    fps = np.unique(cameras['fps'][camera_of_clip]) if 'fps' in cameras else ()
    annotation = LiftingAnnotation(
        ann_file, arrays, scan.valid, rows, table.clips, starts, lengths, clips, frames, size[camera_of_clip],
        float(fps[0]) if len(fps) == 1 else None, {why: number for why, number in scan.counts.items() if number})
    repaired = '; '.join(f'{why}: {number}' for why, number in annotation.counts.items()) or 'nothing masked'
    print_log(f'{ann_file}: {len(rows)} of {len(arrays["imgname"])} frames, {len(table.clips)} clips, {len(starts)} '
              f'runs at stride {found_stride}. {repaired}.', 'current')
    return annotation


def load_cameras(file: str | Path) -> dict[str, np.ndarray]:
    """Camera arrays, shapes and values checked: w and h positive, R a rotation, names distinct.

    Args:
        file: ``.npz``, or a ``.pkl`` of mmpose or AugLift (:mod:`motionlab.datasets.camera_pickle`).

    Returns:
        ``camera_name`` (M,), w, h (M,) and what else is there; R, T camera to world.

    Raises:
        DataError: Naming the key and the first bad camera.
    """
    file = Path(file)
    cameras = read_camera_pickle(file) if file.suffix in CAMERA_PICKLES else open_npz(file)
    require_keys(file, cameras, ('camera_name', 'w', 'h'), 'Cameras lie in <annotation>_cameras.npz; w and h are the '
                 'image size in pixels.')
    names = cameras['camera_name']
    if names.ndim != 1 or names.dtype.kind not in 'US':
        raise DataError(file, 'key camera_name', f'{names.dtype} of shape {names.shape}', 'text of shape (M,)')
    cameras['camera_name'] = names = names.astype(str)
    for key in [key for key in _CAMERA_SHAPES if key in cameras]:
        array, shapes = cameras[key], [(len(names), *shape) for shape in _CAMERA_SHAPES[key]]
        if array.shape not in shapes or array.dtype.kind not in 'fiu':
            raise DataError(file, f'key {key}', f'{array.dtype} of shape {array.shape}',
                            f'numbers of shape {" or ".join(map(str, shapes))}')
        bad = ~np.isfinite(array).reshape(len(names), -1).all(axis=1)
        if key in ('w', 'h', 'f', 'fps'):
            bad |= (array <= 0).reshape(len(names), -1).any(axis=1)
        if key == 'R':
            bad |= np.abs(array @ array.swapaxes(1, 2) - np.eye(3)).max(axis=(1, 2), initial=0) > 1e-2
        if bad.any():
            at = int(np.argmax(bad))
            raise DataError(file, f'{key}[{at}] (camera {names[at]})', array[at].tolist(),
                            'a rotation matrix' if key == 'R' else 'finite numbers, w h f fps above 0')
    unique, first, repeats = np.unique(names, return_index=True, return_counts=True)
    if (repeats > 1).any():
        name = unique[np.argmax(repeats)]
        raise DataError(file, f'camera_name[{first[np.argmax(repeats)]}]', f'{name} {repeats.max()} times',
                        'distinct names')
    return cameras


def _find_cameras(file: Path, cameras: dict[str, np.ndarray], clips: list[Clip]) -> np.ndarray:
    """(C,) position of every clip's camera."""
    position = {name: i for i, name in enumerate(cameras['camera_name'].tolist())}
    found = [next((position[name] for name in clip.camera_names if name in position), -1) for clip in clips]
    if -1 in found:
        lost = clips[found.index(-1)]
        near = cameras['camera_name'][:5].tolist()
        raise DataError(file, 'key camera_name', f'no camera for {found.count(-1)} of {len(clips)} clips, first '
                        f'{lost.name}; the file holds {len(position)}: {near}...',
                        f'one of {list(lost.camera_names)}', 'Is this the camera file of this annotation?')
    return np.array(found, dtype=np.int64)


def _sorted_rows(file: Path, table: ClipTable, names: np.ndarray) -> np.ndarray:
    """(N,) rows by clip and frame number; a frame that occurs twice is refused."""
    rows = np.lexsort((table.frame_number, table.clip_of_row))
    clip, frame = table.clip_of_row[rows], table.frame_number[rows]
    twice = np.flatnonzero((clip[1:] == clip[:-1]) & (frame[1:] == frame[:-1]))
    if twice.size:
        first, second = rows[twice[0]], rows[twice[0] + 1]
        raise DataError(file, f'imgname[{second}]', f'{names[second]}, the same frame of the same clip as row {first}',
                        'every frame of a clip once')
    return rows


def _most_frequent_stride(table: ClipTable, rows: np.ndarray) -> int:
    clip, frame = table.clip_of_row[rows], table.frame_number[rows]
    jumps, times = np.unique(np.diff(frame)[clip[1:] == clip[:-1]], return_counts=True)
    return int(jumps[np.argmax(times)]) if len(jumps) else 1


def _without_missing(file: Path, names: np.ndarray, rows: np.ndarray, valid: np.ndarray, action: str,
                     counts: dict[str, int]) -> np.ndarray:
    seen = valid.any(axis=1)[rows]
    if seen.all() or action == 'keep':
        return rows
    if action == 'error':
        row = rows[np.argmin(seen)]
        raise DataError(file, f'predicted_keypoints[{row}]', f'no detection in {names[row]} ({(~seen).sum()} such '
                        'frames)', 'a detection in every frame', "missing_detections='drop' leaves them out.")
    counts['predicted_keypoints: frames without any detection, dropped'] = int((~seen).sum())
    return rows[seen]


def _runs(table: ClipTable, rows: np.ndarray, stride: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Start, length, clip and position within the clip of every run of ``rows``."""
    clip, frame = table.clip_of_row[rows], table.frame_number[rows]
    new_clip = np.diff(clip, prepend=-1) != 0
    jump = np.diff(frame, prepend=0)
    starts = np.flatnonzero(new_clip | (jump != stride))
    lengths = np.diff(starts, append=len(rows))
    # Over a break the position grows by 2 or more, so that no metric takes the frames beside it for neighbours.
    growth = np.where(new_clip, 0, np.where(jump == stride, 1, np.maximum(jump // stride, 2)))
    position = np.cumsum(growth)
    first_of_clip = np.maximum.accumulate(np.where(new_clip, np.arange(len(rows)), 0))
    return starts, lengths, clip[starts], (position - position[first_of_clip])[starts]
