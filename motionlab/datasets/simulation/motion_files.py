"""AMASS-style motion files as input of the simulation: listing, names, splits, Human3.6M joints."""

import hashlib
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from motionlab.body import amass_motion_joints, smplx22_to_h36m17
from motionlab.body.kinematics import Y_UP_TO_Z_UP
from motionlab.datasets.mocap.motion_file import load_motion
from motionlab.utils import DataError

SPLITS = ('train', 'val', 'test')


@dataclass(frozen=True, order=True)
class MotionClip:
    """One motion file and what the annotation calls it.

    Args:
        name: ``{subject}_{action}_{style}-{clip_id}``, unique in its set; no part contains '_'.
        path: The npz file.
    """

    name: str
    path: Path


def list_clips(set_dir: Path) -> list[MotionClip]:
    """All motion files of a set, ordered by name.

    Args:
        set_dir: ``<mocap>/<set>`` with ``<subject>/<name>.npz`` inside, which tell ``subject``, ``action``, ``style``
            and ``clip_id``.

    Raises:
        DataError: no files, a text is missing or holds '_', or two files get the same name.
    """
    clips: dict[str, MotionClip] = {}
    for path in sorted(set_dir.glob('*/*.npz')):
        subject, action, style, clip_id = _texts(path, ('subject', 'action', 'style', 'clip_id'))
        name = f'{subject}_{action}_{style}-{clip_id}'
        if name in clips:
            raise DataError(path, 'subject, action, style, clip_id', f'{name}, as in {clips[name].path}',
                            'another name for every file', 'Remove one of the files.')
        clips[name] = MotionClip(name, path)
    if not clips:
        raise DataError(set_dir, 'files', 'none', '<subject>/<name>.npz', 'Run a motion converter first.')
    return sorted(clips.values())


def split_of(name: str, seed: int, parts: tuple[int, int, int] = (80, 10, 10)) -> str:
    """``train``, ``val`` or ``test`` by a seeded hash of the clip's name: no other file has a say in it."""
    draw = int.from_bytes(hashlib.blake2b(f'{seed}:{name}'.encode(), digest_size=8).digest(), 'big') % sum(parts)
    return SPLITS[0] if draw < parts[0] else SPLITS[1] if draw < parts[0] + parts[1] else SPLITS[2]


def load_h36m_joints(path: Path, frame_step: int = 1) -> tuple[np.ndarray, float]:
    """Human3.6M joints of a motion file.

    Args:
        path: AMASS-style npz with ``rest_joints``, ``h36m_regressor`` and ``h36m_head_offset``.
        frame_step: Keep every so many frames.

    Returns:
        (F, 17, 3) float64 metres, Z-up, and frames per second.

    Raises:
        DataError: the file breaks the format of :mod:`motionlab.datasets.mocap.motion_file`.
    """
    motion = load_motion(path)
    fps = float(motion['mocap_frame_rate'])
    motion = {**motion, 'poses': motion['poses'][::frame_step], 'trans': motion['trans'][::frame_step]}
    joints, turns = amass_motion_joints(motion)
    rule = (torch.as_tensor(motion[key]).float() for key in ('h36m_regressor', 'h36m_head_offset'))
    points = smplx22_to_h36m17(joints, turns[:, 15], *rule).double().numpy()
    return points @ np.array(Y_UP_TO_Z_UP).T, fps / frame_step


def _texts(path: Path, keys: tuple[str, ...]) -> list[str]:
    try:
        with np.load(path, allow_pickle=False) as data:
            texts = [str(data[key]) if key in data else None for key in keys]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(path, 'content', f'{type(error).__name__}: {error}', 'an npz motion file',
                        'Delete it and run the converter again.') from None
    for key, text in zip(keys, texts):
        if text is None or '_' in text:
            raise DataError(path, key, repr(text), "a text without '_'", 'Convert the motion again.')
    return texts
