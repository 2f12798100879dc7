"""Cameras of Human3.6M from the files they are published in."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from motionlab.body.cameras import Camera
from motionlab.datasets.importers.clip_rows import make_camera
from motionlab.datasets.lifting_annotation import CAMERA_PICKLES, load_cameras
from motionlab.utils import DataError

# In the order of metadata.xml, of mmpose and of the lists in VideoPose3D's files; width and height in pixels.
H36M_IMAGE_SIZES = {'54138969': (1000, 1002), '55011271': (1000, 1000), '58860488': (1000, 1000),
                    '60457274': (1000, 1002)}
H36M_CAMERAS = tuple(H36M_IMAGE_SIZES)
_SUBJECTS = 11
_EXTRINSIC, _INTRINSIC = 6, 9
_NUMBERS = _SUBJECTS * len(H36M_CAMERAS) * _EXTRINSIC + len(H36M_CAMERAS) * _INTRINSIC  # 300

CameraTable = dict[tuple[str, str], Camera]


def load_h36m_cameras(path: str | Path) -> CameraTable:
    """Cameras by (subject, camera id), e.g. ``('S1', '54138969')``; extrinsics camera to world, metres.

    Args:
        path: ``metadata.xml`` of the data set; a ``.pkl`` in mmpose's format (a dictionary by (subject, camera id) of
            R (3, 3) and T (3, 1) camera to world in metres, f c (2, 1), k (3, 1), p (2, 1), w, h); or a camera file of
            ours (``.npz``) with names such as ``S1_54138969``.

    Raises:
        DataError: The file is of no such format or contradicts the image sizes of the data set.
    """
    path = Path(path)
    endings = ('.xml', '.npz', *CAMERA_PICKLES)
    if path.suffix not in endings:
        raise DataError(path, 'file name', path.suffix or 'no ending', ' or '.join(sorted(endings)))
    if not path.is_file():
        raise DataError(path, 'file', 'nothing at this path', "metadata.xml, or mmpose's camera file")
    table = _from_metadata(path) if path.suffix == '.xml' else _from_camera_file(path)
    for (subject, camera_id), camera in table.items():
        size = (float(camera.w), float(camera.h))
        if camera_id in H36M_IMAGE_SIZES and size != H36M_IMAGE_SIZES[camera_id]:
            raise DataError(path, f'w, h of {subject} {camera_id}', size, H36M_IMAGE_SIZES[camera_id])
    return table


def find_camera(path: Path, table: CameraTable, subject: str, camera_id: str) -> Camera:
    """The camera of a clip; DataError names the table where it is missing."""
    if (subject, camera_id) not in table:
        known = sorted({f'{subject} {camera_id}' for subject, camera_id in table})
        raise DataError(path, f'camera {camera_id} of {subject}', f'only {known}', 'every camera of every clip')
    return table[subject, camera_id]


def _from_metadata(path: Path) -> CameraTable:
    """``w0``: for every camera the subjects' (angles x y z, position mm), then per camera f, c, k, p."""
    try:
        root = ElementTree.parse(path).getroot()
        text = root.findtext('w0', '')
        values = np.array([float(number) for number in text.strip().strip('[]').replace(',', ' ').split()])
    except (ElementTree.ParseError, ValueError) as error:
        raise DataError(path, 'w0', f'{type(error).__name__}: {error}', f'{_NUMBERS} numbers') from error
    if len(values) != _NUMBERS:
        raise DataError(path, 'w0', f'{len(values)} numbers', _NUMBERS, "Is this the metadata.xml of Human3.6M's "
                        'code release?')
    ids = [element.text for element in root.findall('dbcameras/index2id/*')] or list(H36M_CAMERAS)
    if sorted(ids) != sorted(H36M_CAMERAS):
        raise DataError(path, 'dbcameras/index2id', ids, list(H36M_CAMERAS))
    extrinsics, intrinsics = np.split(values, [_SUBJECTS * len(ids) * _EXTRINSIC])
    extrinsics = extrinsics.reshape(len(ids), _SUBJECTS, _EXTRINSIC)
    table = {}
    for camera_id, per_subject, lens in zip(ids, extrinsics, intrinsics.reshape(len(ids), _INTRINSIC)):
        for subject, (x, y, z, *position_mm) in enumerate(per_subject, start=1):
            # The angles give world to camera, R = Rx Ry Rz; the position is the camera's in the world.
            rotation = Rotation.from_euler('XYZ', [x, y, z]).as_matrix()
            table[f'S{subject}', camera_id] = make_camera(
                lens[:2], lens[2:4], *H36M_IMAGE_SIZES[camera_id], R=rotation.T, T=np.array(position_mm) / 1000,
                k=lens[4:7], p=lens[7:9])
    return table


def _from_camera_file(path: Path) -> CameraTable:
    arrays = load_cameras(path)
    missing = [name for name in 'RTfckpwh' if name not in arrays]
    if missing:
        raise DataError(path, f'key {", ".join(missing)}', f'only {sorted(arrays)}', 'these keys to be present')
    table = {}
    for i, name in enumerate(arrays['camera_name'].tolist()):
        match = re.fullmatch(r'(S\d+)[_.](\d+)', name)
        if not match:
            raise DataError(path, f'camera_name[{i}]', name, 'subject and camera id, such as S1_54138969')
        table[match.groups()] = make_camera(**{key: arrays[key][i] for key in 'RTfckpwh'})
    return table
