"""Videos of lifted motion: the 2D input left, the 3D answer right."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from rich.progress import track

from motionlab.body.skeletons import H36M_17, Skeleton
from motionlab.datasets.image_frames import ImageFrames
from motionlab.utils import DataError
from motionlab.visualization.skeleton_canvas import PoseView, draw_skeleton, put_text, reach_of, upright
from motionlab.visualization.video_io import frame_rate, write_video

DEFAULT_FPS = 25.0
_CANVAS = (245, 245, 245)
_ALARM = (190, 30, 30)
_ASPECT_TOLERANCE = 0.02


def write_pose_video(path: str | Path, keypoints_px: np.ndarray, poses_m: np.ndarray, image_size: Sequence[float],
                     confidence: np.ndarray | None = None, valid: np.ndarray | None = None,
                     video: str | Path | None = None, fps: float | None = None, height_px: int = 540,
                     skeleton: Skeleton = H36M_17, show_progress: bool = False) -> int:
    """Write a video of a lifted clip, a picture per frame: keypoints over the image beside the pose in 3D.

    Args:
        path: ``.mp4`` or ``.gif``.
        keypoints_px: (T, K, 2) pixels; not finite where there is none.
        poses_m: (T, K, 3) metres, camera axes; drawn relative to joint 0.
        image_size: Width and height that the keypoints refer to.
        confidence: (T, K) in [0, 1], or None for all 1.
        valid: (T,) bool, False where nothing was detected (said in the picture), or None for all True.
        video: Video file or folder of images to draw over, with T pictures; None for a blank canvas. Its pictures may
            be larger or smaller than ``image_size``, in the same proportions.
        fps: Frames per second; None for those of the video, else 25.
        height_px: Height of the video, even.
        show_progress: Show a progress bar.

    Returns:
        The number of pictures written.

    Raises:
        DataError: arrays, proportions or numbers of frames do not fit together.
    """
    keypoints_px, poses_m = np.asarray(keypoints_px), np.asarray(poses_m)
    frames, joints = len(poses_m), skeleton.num_joints
    for name, array, shape in (('poses_m', poses_m, (frames, joints, 3)), ('valid', valid, (frames,)),
                               ('keypoints_px', keypoints_px, (frames, joints, 2)),
                               ('confidence', confidence, (frames, joints))):
        if array is not None and np.shape(array) != shape:
            raise DataError('pose video', name, f'shape {np.shape(array)}', f'shape {shape}')
    source = None if video is None else ImageFrames(video)
    if source is not None:
        _check_video(source, frames, image_size)
        fps = fps or frame_rate(video)
    scale = height_px / float(image_size[1])
    # Encoders want even sides.
    size = max(2, round(float(image_size[0]) * scale / 2) * 2), height_px
    stretch = np.array(size) / np.asarray(image_size, dtype=float)
    raised = upright(poses_m)                                                             # (T, K, 3)
    finite = raised[..., 2][np.isfinite(raised[..., 2])]
    view = PoseView(height_px, reach_of(raised), floor_m=float(finite.min(initial=0)))
    thickness = max(2, height_px // 180)

    def pictures() -> Iterator[np.ndarray]:
        for frame in track(range(frames), description='Drawing', disable=not show_progress):
            left = _background(source, frame, size)
            draw_skeleton(left, keypoints_px[frame] * stretch, skeleton,
                          None if confidence is None else confidence[frame], thickness=thickness)
            if valid is not None and not valid[frame]:
                put_text(left, 'no detection', color=_ALARM)
            right = view.draw(poses_m[frame], skeleton, thickness)
            put_text(right, f'frame {frame}')
            yield np.concatenate([left, right], axis=1)                                   # (H, W + H, 3)

    return write_video(path, pictures(), fps or DEFAULT_FPS)


def _background(source: ImageFrames | None, frame: int, size: tuple[int, int]) -> np.ndarray:
    """A picture of ``size`` that may be drawn into; blank without a source."""
    if source is None:
        return np.full((size[1], size[0], 3), _CANVAS, dtype=np.uint8)
    return cv2.resize(source.read(frame), size, interpolation=cv2.INTER_AREA)


def _check_video(source: ImageFrames, frames: int, image_size: Sequence[float]) -> None:
    if len(source) != frames:
        raise DataError(source.path, 'video', f'{len(source)} frames', f'{frames}, one for each pose',
                        'Is this the video that the keypoints were detected in?')
    (height, width), (expected_width, expected_height) = source.read(0).shape[:2], map(float, image_size)
    if abs(width / height * expected_height / expected_width - 1) > _ASPECT_TOLERANCE:
        raise DataError(source.path, 'video', f'{width} x {height} px', "the proportions of the keypoints' image, "
                        f'{expected_width:.0f} x {expected_height:.0f} px',
                        'Give the image size of this video, and see that it was not rotated.')
