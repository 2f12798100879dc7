"""AMASS-style motion files: SMPL-X poses in a Z-up world, with the skeleton and Human3.6M rules they were made for.

Keys: ``poses`` (T, 165) float32 axis-angle (root 3, body 63, jaw, eyes and hands zero), ``trans`` (T, 3) float32
metres, ``betas`` (16) zeros, ``gender`` 'neutral', ``mocap_frame_rate`` float, ``up_axis`` 'z', ``rest_joints``
(22, 3) metres (x left, y up, z forward), ``h36m_regressor`` (17, 22), ``h36m_head_offset`` (17, 3), and the strings
``subject``, ``action``, ``style``, ``clip_id``, ``source_file``, ``source_sha256``. As in AMASS the root joint is at
``rest_joints[0] + trans``.
"""

import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from motionlab.body.kinematics import Y_UP_TO_Z_UP
from motionlab.body.rotations import rotmat_to_rotvec
from motionlab.datasets.mocap.smplx_conversion import SmplxMotion
from motionlab.utils import DataError

_SHAPES = {'poses': (None, 165), 'trans': (None, 3), 'betas': (16,), 'mocap_frame_rate': (), 'rest_joints': (22, 3),
           'h36m_regressor': (17, 22), 'h36m_head_offset': (17, 3)}


def motion_arrays(motion: SmplxMotion) -> dict[str, np.ndarray]:
    """The numeric keys of a motion file, turned to Z-up: root = U R, trans = U pelvis - r0."""
    to_z_up = torch.tensor(Y_UP_TO_Z_UP, dtype=torch.float64)
    local = motion.local_rotmats.clone()
    local[:, 0] = to_z_up @ local[:, 0]
    poses = torch.zeros(len(local), 165, dtype=torch.float64)
    poses[:, :66] = rotmat_to_rotvec(local).flatten(1)  # (T, 66)
    trans = motion.pelvis @ to_z_up.mT - motion.rest_joints[0]  # (T, 3)

    def float32(values: Tensor) -> np.ndarray:
        return values.to(torch.float32).numpy()

    return {'poses': float32(poses), 'trans': float32(trans), 'betas': np.zeros(16, np.float32),
            'gender': np.array('neutral'), 'mocap_frame_rate': np.float64(motion.fps), 'up_axis': np.array('z'),
            'rest_joints': float32(motion.rest_joints), 'h36m_regressor': float32(motion.h36m_regressor),
            'h36m_head_offset': float32(motion.h36m_head_offset)}


def save_motion(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a motion file under a temporary name, then rename it: a killed process leaves no half file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.name}.tmp')
    with temporary.open('wb') as file:
        np.savez_compressed(file, **arrays)
    temporary.replace(path)


def load_motion(path: Path) -> dict[str, np.ndarray]:
    """Read and check a motion file.

    Raises:
        DataError: the file is no readable npz, lacks a key, or holds a wrong shape or values that are not finite.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, AttributeError) as error:
        raise DataError(path, 'content', f'{type(error).__name__}: {error}', 'an npz motion file',
                        'Delete it and run the converter again.') from None
    for key, shape in _SHAPES.items():
        if key not in arrays:
            raise DataError(path, key, 'no such key', f'an array of shape {shape}')
        found = arrays[key]
        if found.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, found.shape)):
            raise DataError(path, key, f'shape {found.shape}', f'shape {shape}')
        if found.dtype.kind != 'f' or not np.isfinite(found).all():
            raise DataError(path, key, f'{found.dtype} values, not all finite', 'finite floating-point values')
    if not len(arrays['poses']) == len(arrays['trans']) > 0:
        raise DataError(path, 'trans', f'{len(arrays["trans"])} frames', f'{len(arrays["poses"])} frames, at least 1')
    if not arrays['mocap_frame_rate'] > 0:
        raise DataError(path, 'mocap_frame_rate', arrays['mocap_frame_rate'], 'a positive number')
    return arrays
