"""One camera out of a camera file."""

from pathlib import Path

from motionlab.body.cameras import Camera
from motionlab.datasets.importers.clip_rows import make_camera
from motionlab.datasets.lifting_annotation import load_cameras
from motionlab.datasets.store import require_keys
from motionlab.utils import DataError

_NEEDED = ('R', 'T', 'f', 'c')


def read_camera(path: str | Path, name: str | None = None) -> Camera:
    """Intrinsics and extrinsics of a camera from ``<annotation>_cameras.npz``; without k and p no distortion.

    Args:
        path: ``.npz`` with ``camera_name`` (M,), ``R`` (M,3,3) and ``T`` (M,3,1) camera to world in metres, ``f``,
            ``c`` (M,2), ``w``, ``h`` (M,) in pixels and optionally ``k`` (M,3), ``p`` (M,2).
        name: Which; None where the file holds one.

    Raises:
        DataError: unreadable, a key is missing, no camera of that name, or several and none is named.
    """
    cameras = load_cameras(path)
    require_keys(path, cameras, _NEEDED, 'They place the root and turn poses to the world.')
    names = cameras['camera_name'].tolist()
    if name is None and len(names) != 1:
        raise DataError(path, 'camera_name', f'{len(names)} cameras: {names[:5]}', 'the name of one of them')
    if name is not None and name not in names:
        raise DataError(path, 'camera_name', f'no {name!r}; the first are {names[:5]}', 'the name of a camera')
    row = 0 if name is None else names.index(name)
    return make_camera(**{key: cameras[key][row] for key in (*_NEEDED, 'k', 'p', 'w', 'h') if key in cameras})
