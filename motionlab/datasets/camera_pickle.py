"""Camera files as mmpose and AugLift distribute them: a pickled dictionary of cameras."""

from pathlib import Path

import numpy as np

from motionlab.body.cameras import invert_extrinsics
from motionlab.datasets.importers.plain_pickle import load_plain_pickle
from motionlab.utils import DataError

_SHAPES = {'R': (3, 3), 'T': (3, 1), 'f': (2,), 'c': (2,), 'k': (3,), 'p': (2,), 'w': (), 'h': ()}
_KEYS = "('S1', '54138969') as in Human3.6M, or S1_Seq1_Cam0 or TS1 as in MPI-INF-3DHP"


def read_camera_pickle(path: Path) -> dict[str, np.ndarray]:
    """Cameras of Human3.6M or MPI-INF-3DHP, as our camera files hold them.

    The two differ: under keys (subject, camera id) R and T are camera to world, ``X_w = R X_c + T``; under text such as
    ``S1_Seq1_Cam0`` they are world to camera and are inverted here. Nothing that the pickle contains is run.

    Args:
        path: Dictionary by camera of w, h and, all or none of them, R (3, 3), T (3, 1) in metres, f c p (2, 1) and
            k (3, 1) in pixels; further entries are not read.

    Returns:
        ``camera_name`` (M,), e.g. ``S1_54138969``, and arrays of M rows, R and T camera to world.

    Raises:
        DataError: Not such a dictionary, or cameras that do not hold the same entries.
    """
    content = load_plain_pickle(path)
    if not isinstance(content, dict) or not content:
        found = 'an empty dictionary' if content == {} else f'a {type(content).__name__}'
        raise DataError(path, 'content', found, f'a dictionary by {_KEYS}')
    for key, entry in content.items():
        is_pair = isinstance(key, tuple) and len(key) == 2
        if not (is_pair or isinstance(key, str)) or not isinstance(entry, dict):
            raise DataError(path, f'camera {key!r}', f'a {type(entry).__name__}', f'a dictionary under {_KEYS}')
    held = [name for name in _SHAPES if any(name in entry for entry in content.values())]
    cameras = [_camera(path, key, entry, held) for key, entry in content.items()]
    names = [key if isinstance(key, str) else f'{key[0]}_{key[1]}' for key in content]
    return {'camera_name': np.array(names), **{name: np.stack([each[name] for each in cameras]) for name in held}}


def _camera(path: Path, key: str | tuple, entry: dict, held: list[str]) -> dict[str, np.ndarray]:
    missing = [name for name in held if name not in entry]
    if missing:
        raise DataError(path, f'camera {key}', f'only {sorted(map(str, entry))}', f'also {missing}, as other cameras')
    try:
        camera = {name: np.array(entry[name], dtype=np.float64).reshape(_SHAPES[name]) for name in held}
    except (ValueError, TypeError) as error:
        raise DataError(path, f'camera {key}', str(error), 'R (3, 3), T (3, 1), f c p (2, 1), k (3, 1)') from error
    if isinstance(key, str) and 'R' in held and 'T' in held:
        camera['R'], camera['T'] = invert_extrinsics(camera['R'], camera['T'])
    return camera
