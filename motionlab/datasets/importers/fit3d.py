"""Fit3D as it is downloaded: JSON files of joints and cameras (Fieraru et al., CVPR 2021)."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import torch

from motionlab.body.cameras import Camera, world_to_camera
from motionlab.body.skeletons import to_h36m
from motionlab.datasets.importers.clip_rows import ClipView, make_camera, project_points
from motionlab.datasets.importers.conversion import ImportClip, read_once
from motionlab.utils import DataError

FIT3D_TRAIN = ['s03', 's04', 's05', 's07', 's08', 's09']
FIT3D_VAL = ['s10', 's11']  # Of the public training set; the test set has no 3D joints.
FIT3D_FPS = 50.0
_IMAGE_SIZE = (900, 900)
INTRINSICS = {'with': 'intrinsics_w_distortion', 'without': 'intrinsics_wo_distortion'}


def list_fit3d(source: Path, splits: dict[str, str], distortion: str) -> tuple[list[ImportClip], dict[str, int]]:
    """Clips of the data set.

    Args:
        source: Folder with ``s03/joints3d_25/{action}.json`` and ``s03/camera_parameters/{camera}/{action}.json``, or
            with these below ``train``.
        splits: Split by subject.
        distortion: ``'with'``: the lens of the videos; ``'without'``: of images whose distortion was removed.

    Returns:
        Clips named ``s10_50591643_walk_the_box.mp4``, and an empty table of what was left out.
    """
    clips = []
    for subject, split in splits.items():
        folder = next((place for place in (source / subject, source / 'train' / subject) if place.is_dir()), None)
        if folder is None:
            raise DataError(source, subject, 'no such folder', 'one in SRC or SRC/train',
                            'Choose subjects with --train, --val and --test.')
        joint_files = sorted((folder / 'joints3d_25').glob('*.json'))
        cameras = sorted(path.name for path in (folder / 'camera_parameters').glob('*') if path.is_dir())
        if not joint_files or not cameras:
            raise DataError(folder, 'files', f'{len(joint_files)} actions and {len(cameras)} cameras',
                            'joints3d_25/*.json and camera_parameters/*/*.json')
        for joint_file in joint_files:
            for camera in cameras:
                camera_file = folder / 'camera_parameters' / camera / joint_file.name
                name = f'{subject}_{camera}_{joint_file.stem}.mp4'
                clips.append(ImportClip(name, split, (joint_file, camera_file),
                                        partial(_load, joint_file, camera_file, name, INTRINSICS[distortion])))
    return clips, {}


@read_once
def read_joints(path: Path) -> np.ndarray:
    """(T, 17, 3) world metres: the first 17 of the 25 joints."""
    values = _numbers(path, 'joints3d_25', _json(path).get('joints3d_25'))
    if values.ndim != 3 or values.shape[1:] != (25, 3):
        raise DataError(path, 'joints3d_25', f'shape {values.shape}', '(T, 25, 3)')
    return to_h36m(values, 'fit3d25')


def read_camera(path: Path, intrinsics: str) -> Camera:
    """A camera file; ``X_c = (X_w - T) R^T`` there, which is R world to camera and T the camera's position.

    Args:
        path: ``camera_parameters/{camera}/{action}.json``.
        intrinsics: ``intrinsics_w_distortion`` or ``intrinsics_wo_distortion``.
    """
    content = _json(path)
    lens = ('f', 'c', 'k', 'p') if intrinsics == INTRINSICS['with'] else ('f', 'c')
    values = {}
    for group, keys in (('extrinsics', ('R', 'T')), (intrinsics, lens)):
        for key in keys:
            entry = content.get(group)
            values[key] = _numbers(path, f'{group}.{key}', entry.get(key) if isinstance(entry, dict) else None)
    values['R'] = values['R'].T
    try:
        return make_camera(**values, w=_IMAGE_SIZE[0], h=_IMAGE_SIZE[1])
    except ValueError as error:
        raise DataError(path, intrinsics, str(error), 'R (3, 3), T (1, 3), f c p (1, 2), k (1, 3)') from None


def _load(joint_file: Path, camera_file: Path, name: str, intrinsics: str) -> list[ClipView]:
    camera = read_camera(camera_file, intrinsics)
    points = world_to_camera(torch.from_numpy(read_joints(joint_file)), camera).numpy()
    return [ClipView(joint_file, f'{name}_', 1 + np.arange(len(points)), points, project_points(points, camera), camera,
                     name, fps=FIT3D_FPS)]


def _json(path: Path) -> dict:
    if not path.is_file():
        raise DataError(path, 'file', 'nothing at this path', 'a JSON file')
    try:
        content = json.loads(path.read_text())
    except ValueError as error:  # Of the decoder, and of text that is no Unicode.
        raise DataError(path, 'file', str(error), 'a JSON file') from None
    if not isinstance(content, dict):
        raise DataError(path, 'content', type(content).__name__, 'an object')
    return content


def _numbers(path: Path, field: str, value: object) -> np.ndarray:
    try:
        array = np.array(value, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise DataError(path, field, str(error), 'numbers in lists of equal lengths') from None
    if value is None:
        raise DataError(path, field, 'nothing', 'this key to be present')
    return array
