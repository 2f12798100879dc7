"""What a pose lifter answered about one clip: arrays, files, pictures."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from motionlab.body.skeletons import H36M_17
from motionlab.utils import ConfigError


@dataclass(frozen=True)
class LiftedClip:
    """3D poses of T frames, 17 joints in Human3.6M order, float32 metres.

    Args:
        joints_m: (T, 17, 3) in the axes and about the origin that were asked for.
        axes: ``'camera'`` (x right, y down, z forward) or ``'world'`` (those of the camera's R and T).
        origin: ``'root'`` where poses are relative to the root joint, else ``'absolute'``.
        relative_m: (T, 17, 3) relative to the root, camera axes; the network's answer.
        root_m: (T, 3) root in camera axes, or None where it was not asked for.
        root_known: (T,) bool, False where the root's depth was unknown and is interpolated between its neighbours; or
            None.
        valid: (T,) bool, False where no joint was detected. Such a pose rests on the frames around it alone; a lifter
            of one frame knows nothing about it.
        keypoints_px: (T, 17, 2) what was lifted, NaN where absent.
        confidence: (T, 17), or None.
        image_size_px: (2,) width and height.
        names: Image names, or None.
    """

    joints_m: np.ndarray
    axes: str
    origin: str
    relative_m: np.ndarray
    root_m: np.ndarray | None
    root_known: np.ndarray | None
    valid: np.ndarray
    keypoints_px: np.ndarray
    confidence: np.ndarray | None
    image_size_px: np.ndarray
    names: list[str] | None = None

    def __len__(self) -> int:
        return len(self.joints_m)

    @property
    def num_missing(self) -> int:
        """Frames in which no joint was detected."""
        return int((~self.valid).sum())

    @property
    def num_missing_joints(self) -> int:
        """Joints without a detection, over all frames."""
        return int(np.isnan(self.keypoints_px).any(-1).sum())

    def save(self, path: str | Path) -> Path:
        """Write ``.npz`` (every array under the name of its field) or ``.json`` (as mmpose's inferencers do).

        JSON: ``meta_info`` and ``instance_info``, a list of ``{frame_id, instances: [{keypoints, keypoint_scores}]}``
        with keypoints (17, 3) in metres, and ``valid`` per frame.

        Raises:
            ConfigError: another suffix.
        """
        path = Path(path)
        if path.suffix not in ('.npz', '.json'):
            raise ConfigError(f'{path}: found suffix {path.suffix!r}, expected .npz or .json.')
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == '.json':
            path.write_text(json.dumps(self._as_json(), allow_nan=False), encoding='utf-8')
        else:
            fields = {name: value for name, value in vars(self).items() if value is not None}
            np.savez(path, joint_names=np.array(H36M_17.joint_names), **fields)
        return path

    def write_video(self, path: str | Path, video: str | Path | None = None, fps: float | None = None,
                    height_px: int = 540, show_progress: bool = False) -> int:
        """Draw the clip; see :func:`motionlab.visualization.write_pose_video`. Returns the number of pictures."""
        from motionlab.visualization import write_pose_video  # Drawing needs matplotlib, lifting does not.
        return write_pose_video(path, self.keypoints_px, self.relative_m, self.image_size_px, self.confidence,
                                self.valid, video, fps, height_px, show_progress=show_progress)

    def draw_strip(self, num_frames: int = 8) -> np.ndarray:
        """(H, W, 3) uint8 RGB: frames of the clip side by side in 3D, evenly spread over time."""
        from motionlab.visualization import draw_motion_strip
        return draw_motion_strip(self.relative_m, num_frames=num_frames)

    def _as_json(self) -> dict:
        scores = np.ones(self.keypoints_px.shape[:2]) if self.confidence is None else np.nan_to_num(self.confidence)
        joints = self.joints_m.round(6).tolist()
        frames = [{'frame_id': i, 'valid': bool(self.valid[i]), **({'name': self.names[i]} if self.names else {}),
                   'instances': [{'keypoints': joints[i], 'keypoint_scores': scores[i].round(6).tolist()}]}
                  for i in range(len(self))]
        meta = {'skeleton': H36M_17.name, 'joint_names': list(H36M_17.joint_names), 'unit': 'metre', 'axes': self.axes,
                'origin': self.origin, 'image_size_px': self.image_size_px.tolist(), 'frames': len(self),
                'frames_without_detection': self.num_missing}
        return {'meta_info': meta, 'instance_info': frames}
