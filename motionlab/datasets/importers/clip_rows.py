"""One view of a published recording, and the rows of our annotation that it becomes."""

from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import torch

from motionlab.body.cameras import Camera, project
from motionlab.body.skeletons import H36M_17
from motionlab.datasets.detections import Detections, in_h36m_order
from motionlab.utils import DataError

_NEAR_M = 0.1       # Points nearer than this to the camera plane have no image.
_FAR_PX = 1e5       # Nor does a pixel position beyond this mean anything; it must stay finite.


@dataclass(frozen=True)
class ClipView:
    """A clip in one camera, all joints in Human3.6M-17 order.

    Args:
        file: The file that errors name.
        stem: Image name before the frame number, e.g. ``S1_Directions_1.54138969_``.
        frame_numbers: (n,) int, numbers of the images.
        points_m: (n, 17, 3) metres in camera axes (x right, y down, z forward).
        pixels: (n, 17, 2) true joints in the image.
        camera: Single camera, float64; extrinsics camera to world.
        camera_name: Name in the camera file; views may share a camera.
        joints: (17,) bool, joints that the data set has.
        has_world: Whether R and T of ``camera`` are known and the same in all frames; else they are not written.
        fps: Frames per second of the recording; None where it is not published.
        digits: Of the frame number in the image name.
        first_frame: Number of the first image of a recording.
        detections: Of a 2D detector, where the data set comes with them.
        counts: What the importer left out, by reason.
    """

    file: Path
    stem: str
    frame_numbers: np.ndarray
    points_m: np.ndarray
    pixels: np.ndarray
    camera: Camera
    camera_name: str
    joints: np.ndarray = field(default_factory=lambda: np.ones(17, dtype=bool))
    has_world: bool = True
    fps: float | None = None
    digits: int = 6
    first_frame: int = 1
    detections: Detections | None = None
    counts: dict[str, int] = field(default_factory=dict)


def view_rows(view: ClipView, frame_step: int) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Arrays of the annotation schema, and what happened to the frames.

    A joint outside the image, behind the camera, or absent from the data set is not visible in ``part``; one that is
    absent is not visible in ``S`` either. Frames without any joint in the image, or with the root behind the camera,
    are left out and counted.

    Args:
        view: The clip.
        frame_step: Keep every so many frames, counted from the first of the recording.

    Returns:
        Rows by key, and counts by reason; ``reprojection`` is the mean distance of projected and stored 2D joints, px.

    Raises:
        DataError: Lengths differ, or a joint is not finite.
    """
    wanted = (view.frame_numbers - view.first_frame) % frame_step == 0
    _check(view)
    numbers, points, pixels = (array[wanted] for array in (view.frame_numbers, view.points_m, view.pixels))
    size = np.array([float(view.camera.w), float(view.camera.h)])
    known = np.broadcast_to(view.joints, points.shape[:2])                                  # (n, 17)
    seen = known & (points[..., 2] > _NEAR_M) & ((pixels >= 0) & (pixels <= size - 1)).all(-1)
    keep = seen.any(axis=1) & (points[:, 0, 2] > _NEAR_M)
    counts = dict(view.counts)
    counts['frames without the person in the image, left out'] = int((~keep).sum())
    numbers, points, pixels, known, seen = (array[keep] for array in (numbers, points, pixels, known, seen))
    counts['joints outside the image, marked invisible'] = int((known & ~seen).sum())
    away = np.linalg.norm(project_points(points, view.camera) - pixels, axis=-1)            # (n, 17)
    counts['reprojection'] = float(away[seen].mean()) if seen.any() else 0.0
    low = np.where(seen[..., None], pixels, np.inf).min(axis=1)                             # (n, 2)
    high = np.where(seen[..., None], pixels, -np.inf).max(axis=1)
    rows = {
        'center': (low + high) / 2, 'scale': 1.2 * (high - low).max(axis=-1, initial=0) / 200,
        'part': np.concatenate([np.where(known[..., None], pixels, 0), seen[..., None]], axis=-1),
        'S': np.concatenate([np.where(known[..., None], points, 0), known[..., None]], axis=-1)}
    rows = {key: value.astype(np.float32) for key, value in rows.items()}
    rows['imgname'] = np.array([f'{view.stem}{number:0{view.digits}d}.jpg' for number in numbers], dtype=np.str_)
    if view.detections is not None:
        found = view.detections
        valid = found.valid[wanted][keep]
        rows['predicted_keypoints'] = found.keypoints_px[wanted][keep]
        rows['predicted_keypoints_score'] = found.confidence[wanted][keep]
        rows['predicted_valid'] = valid
        counts['joints without a detection'] = int((~valid).sum())
    return rows, counts


def camera_entry(view: ClipView, frame_step: int) -> dict[str, np.ndarray]:
    """The camera as the camera file holds it: float32; no R, T and fps where they are not known."""
    left_out = () if view.has_world else ('R', 'T')
    arrays = {entry.name: getattr(view.camera, entry.name).numpy().astype(np.float32)
              for entry in fields(Camera) if entry.name not in left_out}
    return arrays if view.fps is None else arrays | {'fps': np.float32(view.fps / frame_step)}


def found_keypoints(keypoint_format: str, values: np.ndarray) -> Detections:
    """Detections from (n, 17, 3) x, y, confidence; x = y = 0 is how detectors write what they did not find."""
    points, scores = values[..., :2], values[..., 2]
    return in_h36m_order(keypoint_format, None, points, scores, np.ones(scores.shape, bool), None, {})


def make_camera(f, c, w: float, h: float, R=None, T=None, k=(0, 0, 0), p=(0, 0)) -> Camera:
    """A float64 :class:`Camera` from arrays of any fitting shape, e.g. (2, 1) for (2,); identity extrinsics if absent.

    Raises:
        ValueError: An array has another number of entries.
    """
    shapes = {'R': (3, 3), 'T': (3, 1), 'f': (2,), 'c': (2,), 'k': (3,), 'p': (2,), 'w': (), 'h': ()}
    given = {'R': np.eye(3) if R is None else R, 'T': np.zeros(3) if T is None else T, 'f': f, 'c': c, 'k': k, 'p': p,
             'w': w, 'h': h}
    return Camera(**{key: torch.from_numpy(np.array(value, dtype=np.float64).reshape(shapes[key]))
                     for key, value in given.items()})


def project_points(points_m: np.ndarray, camera: Camera) -> np.ndarray:
    """(n, 17, 3) camera axes to (n, 17, 2) pixels; finite also where a point has no image (see ``view_rows``)."""
    points = torch.from_numpy(np.array(points_m, dtype=np.float64))
    points[..., 2].clamp_(min=_NEAR_M)
    return np.clip(project(points, camera).numpy(), -_FAR_PX, _FAR_PX)


def _check(view: ClipView) -> None:
    frames = len(view.frame_numbers)
    arrays = {'3D joints': (view.points_m, (17, 3)), '2D joints': (view.pixels, (17, 2))}
    if view.detections is not None:
        arrays['detected 2D joints'] = view.detections.keypoints_px, (17, 2)
        arrays['confidences'] = view.detections.confidence, (17,)
        arrays['detected joints in use'] = view.detections.valid, (17,)
    for name, (array, shape) in arrays.items():
        if array.shape != (frames, *shape):
            raise DataError(view.file, f'{name} of {view.stem}', f'shape {array.shape}', f'{(frames, *shape)}')
    for name in ('3D joints', '2D joints'):
        bad = ~np.isfinite(arrays[name][0]).all(axis=-1) & view.joints                      # (n, 17)
        if bad.any():
            row, joint = (int(i) for i in np.argwhere(bad)[0])
            raise DataError(view.file, f'{name} of {view.stem}, frame {view.frame_numbers[row]}, '
                            f'{H36M_17.joint_names[joint]}', arrays[name][0][row, joint].tolist(), 'finite numbers',
                            f'{int(bad.any(axis=1).sum())} frames have such joints.')
