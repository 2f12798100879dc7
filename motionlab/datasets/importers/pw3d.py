"""3DPW as it is downloaded: a Python 2 pickle per sequence (von Marcard et al., ECCV 2018).

The joints are SMPL's, which has no point near the nose: Human3.6M joint 9 is marked invisible.
"""

from functools import partial
from pathlib import Path

import numpy as np

from motionlab.body.cameras import Camera
from motionlab.body.skeletons import COCO_17, h36m_joints_of, to_h36m
from motionlab.datasets.importers.clip_rows import ClipView, found_keypoints, make_camera, project_points
from motionlab.datasets.importers.conversion import ImportClip
from motionlab.datasets.importers.plain_pickle import load_plain_pickle
from motionlab.utils import DataError

PW3D_FPS = 30.0
_SPLITS = {'train': 'train', 'validation': 'val', 'test': 'test'}
_IMAGE_SIZES = ((1920, 1080), (1080, 1920))
_KEYS = ('jointPositions', 'poses2d', 'campose_valid', 'cam_poses', 'cam_intrinsics')
_COCO_18 = ('nose', 'neck', 'right_shoulder', 'right_elbow', 'right_wrist', 'left_shoulder', 'left_elbow',
            'left_wrist', 'right_hip', 'right_knee', 'right_ankle', 'left_hip', 'left_knee', 'left_ankle', 'right_eye',
            'left_eye', 'right_ear', 'left_ear')  # OpenPose's order of COCO, which has a neck.
_COCO_17_IN_18 = [_COCO_18.index(name) for name in COCO_17.joint_names]


def list_pw3d(source: Path) -> tuple[list[ImportClip], dict[str, int]]:
    """Sequences of the data set, each with all its persons.

    Args:
        source: Folder with ``sequenceFiles/{train,validation,test}/*.pkl``, or ``sequenceFiles`` itself.

    Returns:
        Clips named ``downtown_arguing_00``, and an empty table of what was left out.
    """
    root = source / 'sequenceFiles' if (source / 'sequenceFiles').is_dir() else source
    clips = [ImportClip(path.stem, split, (path,), partial(load_sequence, path))
             for folder, split in _SPLITS.items() for path in sorted((root / folder).glob('*.pkl'))]
    if not clips:
        raise DataError(source, 'sequenceFiles', 'no .pkl file', 'sequenceFiles/{train,validation,test}/*.pkl')
    return clips, {}


def load_sequence(path: Path) -> list[ClipView]:
    """One view per person; frames whose camera was not aligned are left out and counted.

    Image names end in ``participant{k}_frame{00000}``, counted from 0 as the images are. The camera moves, so only its
    lens is kept. Detections are those of the data set (OpenPose).

    Raises:
        DataError: A key is missing or has another shape, or the image is neither 1920x1080 nor 1080x1920.
    """
    content = load_plain_pickle(path)
    if not isinstance(content, dict):
        raise DataError(path, 'content', type(content).__name__, 'a dictionary')
    missing = [key for key in _KEYS if key not in content]
    if missing:
        raise DataError(path, f'key {", ".join(missing)}', f'only {sorted(map(str, content))}', 'these keys')
    poses = _array(path, 'cam_poses', content['cam_poses'], (None, 4, 4))
    camera = _camera(path, _array(path, 'cam_intrinsics', content['cam_intrinsics'], (3, 3)))
    persons = {key: content[key] for key in ('jointPositions', 'poses2d', 'campose_valid')}
    lengths = {key: len(value) for key, value in persons.items()}
    if len(set(lengths.values())) != 1:
        raise DataError(path, 'persons', lengths, 'as many in every key')
    return [_person(path, number, poses, camera, *(persons[key][number] for key in persons))
            for number in range(lengths['jointPositions'])]


def _person(path: Path, number: int, poses: np.ndarray, camera: Camera, joints: object, detected: object,
            aligned: object) -> ClipView:
    frames = len(poses)
    world = _array(path, f'jointPositions[{number}]', joints, (frames, 72)).reshape(frames, 24, 3)
    found = _array(path, f'poses2d[{number}]', detected, (frames, 3, 18)).swapaxes(1, 2)    # (n, 18, 3)
    found = found[:, _COCO_17_IN_18]                                                        # (n, 17, 3)
    usable = _array(path, f'campose_valid[{number}]', aligned, (frames,)) > 0.5
    points = world @ poses[:, :3, :3].swapaxes(1, 2) + poses[:, None, :3, 3]                # (n, 24, 3)
    points = to_h36m(points[usable], 'smpl24')
    return ClipView(path, f'{path.stem}_participant{number}_frame', np.flatnonzero(usable), points,
                    project_points(points, camera), camera, path.stem, joints=h36m_joints_of('smpl24'), has_world=False,
                    fps=PW3D_FPS, digits=5, first_frame=0, detections=found_keypoints('coco17', found[usable]),
                    counts={'frames without an aligned camera, left out': int((~usable).sum())})


def _camera(path: Path, lens: np.ndarray) -> Camera:
    """The file does not tell portrait from landscape, but the principal point lies near the middle of the image."""
    centre = lens[:2, 2]
    size = min(_IMAGE_SIZES, key=lambda size: np.abs(centre - np.array(size) / 2).max())
    if not np.abs(centre - np.array(size) / 2).max() < 200:
        raise DataError(path, 'cam_intrinsics', f'principal point {centre.tolist()}',
                        f'a point near the middle of one of {_IMAGE_SIZES}')
    return make_camera(lens.diagonal()[:2], centre, *size)


def _array(path: Path, key: str, value: object, shape: tuple[int | None, ...]) -> np.ndarray:
    """``value`` as float64, its shape checked; None stands for any length."""
    array = np.asarray(value)
    fits = len(array.shape) == len(shape) and all(want in (None, got) for got, want in zip(array.shape, shape))
    if not fits or array.dtype.kind not in 'biuf':
        expected = str(shape).replace('None', 'I')
        raise DataError(path, key, f'{array.dtype} of shape {array.shape}', f'numbers of shape {expected}')
    return array.astype(np.float64)
