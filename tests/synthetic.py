"""Tiny lifting annotations in the exact file format, for every test that needs data on disk."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

# World frame of Human3.6M: metres, z up; the person faces +x, its right side is -y.
_REST_M = np.array([
    [0, 0, 0.95], [0, -0.13, 0.95], [0, -0.13, 0.50], [0, -0.13, 0.06], [0, 0.13, 0.95], [0, 0.13, 0.50],
    [0, 0.13, 0.06], [0, 0, 1.18], [0, 0, 1.42], [0.08, 0, 1.52], [0, 0, 1.64], [0, 0.17, 1.40], [0, 0.24, 1.12],
    [0.10, 0.26, 0.90], [0, -0.17, 1.40], [0, -0.24, 1.12], [0.10, -0.26, 0.90],
], dtype=np.float32)
_SWINGING = {2: 0.10, 3: 0.25, 5: -0.10, 6: -0.25, 12: 0.06, 13: 0.18, 15: -0.06, 16: -0.18}
_ACTIONS = ('walk', 'reach-out', 'jump')

Override = np.ndarray | None | Callable[[np.ndarray], np.ndarray]


def write_lifting_annotation(folder: Path, name: str = 'train', clips: int = 3, frames: int | Sequence[int] = 40,
                             seed: int = 0, cameras: dict[str, Override] | None = None, ranges: bool = False,
                             features: dict[str, int] | None = None, **overrides: Override) -> Path:
    """Write ``<folder>/<name>.npz`` and ``<folder>/<name>_cameras.npz``; return the path of the annotation.

    Clips differ in action, path, limb phase and camera; frames count from 1 and clips come one after the other.
    Detections are the projected joints plus noise, depth is camera z plus noise; both are always valid.

    Args:
        frames: Frames of every clip, or one number per clip.
        cameras: Like ``overrides``, for the camera file.
        ranges: Also nearest and farthest depths and where they lie, by the paper's rule and as descriptors.
        features: Widths of float16 feature maps, ``{'rtm_joint_feats': 1024, 'dav2_joint_feats': 256}``.
        overrides: Per annotation key an array in place of the made one, a function of it, or None to drop the key.
            A key that is not there yet is added.
    """
    rng = np.random.default_rng(seed)
    lengths = [frames] * clips if isinstance(frames, int) else list(frames)
    rigs = [_camera(clip) for clip in range(clips)]
    parts = [_clip(rng, clip, length, rigs[clip]) for clip, length in enumerate(lengths)]
    arrays = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    rng = np.random.default_rng([seed, 1])
    if ranges:
        arrays.update(_depth_ranges(rng, arrays))
    for key, width in (features or {}).items():
        arrays[key] = rng.normal(0, 3, (*arrays['predicted_da_depth'].shape, width)).astype('f2')
    rig_arrays = {key: np.stack([rig[key] for rig in rigs]) for key in rigs[0]}

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / f'{name}.npz', **_overridden(arrays, overrides))
    np.savez(folder / f'{name}_cameras.npz', **_overridden(rig_arrays, cameras or {}))
    return folder / f'{name}.npz'


def _clip_name(clip: int) -> str:
    return f'synth_{_ACTIONS[clip % len(_ACTIONS)]}_normal-{clip:03d}.cam{clip % 4}'


def _camera(clip: int) -> dict[str, np.ndarray]:
    """A camera 4.5 m from the origin that looks at the chest; R, T are camera to world."""
    angle = 0.5 + 0.5 * np.pi * (clip % 4)
    position = np.array([4.5 * np.cos(angle), 4.5 * np.sin(angle), 1.5])
    forward = np.array([0, 0, 1.0]) - position
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(forward, right), forward], axis=1)  # Columns: right, down, forward.
    return dict(camera_name=np.array(_clip_name(clip)), R=axes.astype('f4'), T=position.astype('f4')[:, None],
                f=np.float32([1145.0, 1144.0]), c=np.float32([512.5, 515.5]), k=np.zeros(3, 'f4'), p=np.zeros(2, 'f4'),
                w=np.float32(1000), h=np.float32(1002 if clip % 2 else 1000), fps=np.float32(30))


def _clip(rng: np.random.Generator, clip: int, length: int, rig: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Per-frame arrays of one clip."""
    time = np.arange(length, dtype=np.float32) / 30
    world = np.repeat(_REST_M[None], length, axis=0)                            # (n, 17, 3)
    phase, pace = rng.uniform(0, 2 * np.pi), rng.uniform(0.8, 1.4)
    for joint, amplitude in _SWINGING.items():
        world[:, joint, 0] += amplitude * np.sin(2 * np.pi * pace * time + phase)
    heading = rng.uniform(0, 2 * np.pi) + 0.3 * np.sin(time)
    cos, sin = np.cos(heading)[:, None], np.sin(heading)[:, None]
    x, y = world[..., 0].copy(), world[..., 1].copy()
    world[..., 0] = cos * x - sin * y + (0.3 * np.sin(0.7 * time))[:, None]
    world[..., 1] = sin * x + cos * y
    camera = (world - rig['T'][:, 0]) @ rig['R']                                # (n, 17, 3) = Rᵀ (X_w - T)
    pixels = camera[..., :2] / camera[..., 2:] * rig['f'] + rig['c']            # (n, 17, 2)
    seen = np.ones((length, 17, 1), dtype=np.float32)
    detected = pixels + rng.normal(0, 3, pixels.shape)
    depth = camera[..., 2] + rng.normal(0, 0.05, camera.shape[:2])
    low, high = detected.min(axis=1), detected.max(axis=1)
    score = rng.uniform(0.5, 1, camera.shape[:2])
    quantiles = depth[..., None] + np.float32([-0.04, -0.02, 0, 0.02, 0.04, 0])
    summary = np.concatenate([detected, score[..., None], np.full_like(seen, 8), quantiles], axis=-1)
    names = np.array([f'{_clip_name(clip)}_{frame + 1:06d}.jpg' for frame in range(length)])
    return dict(imgname=names, center=((low + high) / 2).astype('f4'),
                scale=(1.2 * (high - low).max(axis=1) / 200).astype('f4'),
                part=np.concatenate([pixels, seen], axis=-1).astype('f4'),
                S=np.concatenate([camera, seen], axis=-1).astype('f4'), predicted_keypoints=detected.astype('f4'),
                predicted_keypoints_score=score.astype('f4'), predicted_da_depth=depth.astype('f4'),
                summary_casp_descriptor_10d=summary.astype('f4'), predicted_valid=np.ones((length, 17), dtype=bool))


def _depth_ranges(rng: np.random.Generator, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays of the nearest and the farthest depth around every joint."""
    depth, points = arrays['predicted_da_depth'], arrays['predicted_keypoints']
    offsets = rng.integers(-3, 4, (2, *points.shape))
    near, far = (depth * (1 + sign * rng.uniform(0, 0.1, depth.shape)) for sign in (-1, 1))
    casp = np.zeros((*depth.shape, 19))
    casp[..., 0], casp[..., 12], casp[..., 1:3], casp[..., 13:15] = near, far, points + offsets[0], points + offsets[1]
    made = dict(predicted_depth_min=near, predicted_depth_max=far, predicted_depth_min_px=points + offsets[0],
                predicted_depth_max_px=points + offsets[1], casp_descriptors=casp)
    return {key: value.astype('f4') for key, value in made.items()}


def _overridden(arrays: dict[str, np.ndarray], overrides: dict[str, Override]) -> dict[str, np.ndarray]:
    arrays = dict(arrays)
    for key, value in overrides.items():
        if value is None:
            arrays.pop(key)
        else:
            arrays[key] = value(arrays[key].copy()) if callable(value) else np.asarray(value)
    return arrays
