"""Lifting annotation files from simulated clips: one shard per clip, assembled into npz files piece by piece."""

import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from motionlab.datasets.npz_writer import write_member
from motionlab.datasets.simulation.lifting_clip import SimulationConfig, annotation_rows, camera_rows, simulate_clip
from motionlab.datasets.simulation.motion_files import MotionClip, load_h36m_joints
from motionlab.utils import DataError

_CAMERA_KEYS = ('R', 'T', 'f', 'c', 'k', 'p', 'w', 'h')
_COUNTS = ('frames', 'rows', 'joints', 'outside', 'occluded', 'invalid', 'error_px')


@dataclass(frozen=True)
class ShardSummary:
    """What one clip became: sums over its rows, or why it was skipped.

    Args:
        name: Name of the clip.
        counts: ``frames``, ``rows``, ``joints`` (rows x 17), how many of these are ``outside`` the image,
            ``occluded``, ``invalid``, and the summed ``error_px`` of the ones inside; empty when skipped.
        problem: Why the clip was skipped; empty when it was not.
    """

    name: str
    counts: dict[str, float]
    problem: str = ''


def write_shard(clip: MotionClip, path: Path, seed: int, frame_step: int, config: SimulationConfig,
                fingerprint: str) -> ShardSummary:
    """Simulate a clip and keep its rows in a file of its own; a finished file with the same fingerprint is kept.

    Args:
        clip: Motion file.
        path: Shard to write; appears only when complete.
        seed: Seed of the data set.
        frame_step: Keep every so many frames.
        config: Simulation.
        fingerprint: Of everything that decides the content.

    Returns:
        Sums for the report; a file that breaks its format becomes a summary with a ``problem``.
    """
    if path.is_file():
        with np.load(path, allow_pickle=False) as data:
            if str(data['fingerprint']) == fingerprint:
                return ShardSummary(clip.name, dict(zip(_COUNTS, data['counts'].tolist())))
    try:
        joints, fps = load_h36m_joints(clip.path, frame_step)
    except DataError as error:
        return ShardSummary(clip.name, {}, str(error))
    views = simulate_clip(clip.name, joints, fps, seed, config)
    inside = np.concatenate([view.visible for view in views])
    error = np.concatenate([np.linalg.norm(view.detections.keypoints_px - view.pixels, axis=-1) for view in views])
    rows = annotation_rows(views, config.stride)
    counts = [len(joints), len(inside), inside.size, (~inside).sum(),
              sum(view.occluded.sum() for view in views), (~rows['predicted_valid']).sum(), error[inside].sum()]
    cameras = {f'camera_{key}': value for key, value in camera_rows(views).items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'{path.name}.tmp')
    with part.open('wb') as file:
        np.savez(file, fingerprint=np.array(fingerprint), fps=np.array(fps), counts=np.array(counts, float), **rows,
                 **cameras)
    os.replace(part, path)
    return ShardSummary(clip.name, dict(zip(_COUNTS, map(float, counts))))


def assemble(names: list[str], shard_of: Callable[[str], Path], target: Path) -> int:
    """Join shards into ``target`` and ``<target>_cameras.npz``, holding one clip in memory at a time.

    Args:
        names: Clips, in the order of the rows.
        shard_of: Shard file of a clip.
        target: ``.../<split>.npz``.

    Returns:
        Number of rows.
    """
    layout, lengths, cameras = {}, [], {key: [] for key in ('camera_name', *_CAMERA_KEYS, 'fps')}
    for name in names:
        with np.load(shard_of(name), allow_pickle=False) as data:
            count = len(data['camera_R'])
            lengths.append((len(data['center']) // count, count))
            cameras['camera_name'] += [f'{name}.cam{i}' for i in range(count)]
            cameras['fps'] += [float(data['fps'])] * count
            for key in _CAMERA_KEYS:
                cameras[key].extend(data[f'camera_{key}'])
            layout = layout or {key: (data[key].dtype, data[key].shape[1:]) for key in data
                                if not key.startswith('camera_') and key not in ('fingerprint', 'fps', 'counts')}
    total = sum(frames * count for frames, count in lengths)
    width = max(len(name) for name in names) + len('.cam0_000001.jpg') + 1
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f'{target.name}.tmp')
    with zipfile.ZipFile(part, 'w', zipfile.ZIP_STORED) as archive:
        text = np.dtype(f'<U{width}')
        write_member(archive, 'imgname', text, (total,), _image_names(names, lengths, text))
        for key, (dtype, shape) in layout.items():
            write_member(archive, key, dtype, (total, *shape), (_read(shard_of(name), key) for name in names))
    arrays = {key: np.array(value, None if key == 'camera_name' else np.float32) for key, value in cameras.items()}
    camera_target = target.with_name(f'{target.stem}_cameras.npz')
    with camera_target.open('wb') as file:
        np.savez(file, **arrays)
    os.replace(part, target)
    return total


def _read(path: Path, key: str) -> np.ndarray:
    with np.load(path, allow_pickle=False) as data:
        return data[key]


def _image_names(names: list[str], lengths: list[tuple[int, int]], dtype: np.dtype) -> Iterator[np.ndarray]:
    for name, (frames, cameras) in zip(names, lengths):
        yield np.array([f'{name}.cam{i}_{frame:06d}.jpg' for i in range(cameras) for frame in range(1, frames + 1)],
                       dtype)
