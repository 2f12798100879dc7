"""Small trees of motion files in both schemas of AMASS, with made-up smooth motion."""

import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

# Relative path -> frames. What is a motion, and its schema, follows from the name as in AMASS.
SMALL_TREE = {
    'CMU/CMU/01/01_01_stageii.npz': 90, 'CMU/CMU/01/01_02_stageii.npz': 60, 'CMU/CMU/01/neutral_stagei.npz': 0,
    'CMU/CMU/02/02_01_poses.npz': 70, 'CMU/CMU/02/shape.npz': 0, 'CMU/CMU/02/02_02_poses.npz': 4,
    'BMLrub/rub001/0001_walk_poses.npz': 50, 'BMLrub/rub050/0001_run_stageii.npz': 64,
    'BMLrub/rub068/0001_sit_stageii.npz': 45, 'BMLrub/rub092/0001_jog_poses.npz': 40,
    'BMLrub/rub115/0001_jump_stageii.npz': 40,
}
_WIDTHS = {'smplh': 156, 'smplx': 165}


def motion_arrays(num_frames: int, schema: str = 'smplx', *, seed: int = 0, fps: float = 120.0,
                  gender: str | bytes = 'neutral', num_betas: int = 16) -> dict[str, np.ndarray]:
    """The arrays of one motion file: a body that sways as it walks along +x, Z-up; toes at zero as MoSh leaves them.

    Args:
        num_frames: N.
        schema: ``smplh`` (poses (N, 156), dmpls) or ``smplx`` (poses (N, 165) and the split fields), float64.
        seed: Of the motion.
        fps: Frame rate, under the key of the schema.
        gender: Text or bytes, as both occur.
        num_betas: Length of betas.
    """
    rng = np.random.default_rng(seed)
    time = np.arange(num_frames)[:, None] / fps
    width = _WIDTHS[schema]
    sway = 0.35 * np.sin(2 * np.pi * rng.uniform(0.2, 1.0, width) * time + rng.uniform(0, 6.28, width))
    poses = rng.normal(0, 0.25, width) + rng.uniform(0, 1, width) * sway
    poses[:, 30:36] = 0  # left_foot, right_foot
    poses[:, :3] = [np.pi / 2, 0, 0] + 0.1 * sway[:, :3]
    trans = np.array([0.0, 0.0, 1.3]) + time * [1.2, 0, 0] + 0.02 * sway[:, :3]
    arrays = {'trans': trans, 'poses': poses, 'betas': rng.normal(0, 1, num_betas), 'gender': np.array(gender)}
    if schema == 'smplh':
        return {**arrays, 'dmpls': rng.normal(0, 1, (num_frames, 8)), 'mocap_framerate': np.array(fps)}
    return {**arrays, 'surface_model_type': np.array('smplx'), 'mocap_frame_rate': np.array(fps),
            'mocap_time_length': np.array(num_frames / fps), 'num_betas': np.array(num_betas),
            'markers_latent': rng.normal(0, 1, (41, 3)), 'latent_labels': np.array([f'M{i:02d}' for i in range(41)]),
            'root_orient': poses[:, :3], 'pose_body': poses[:, 3:66], 'pose_jaw': poses[:, 66:69],
            'pose_eye': poses[:, 69:75], 'pose_hand': poses[:, 75:]}


def write_motion(path: Path, num_frames: int = 40, *, changes: Mapping[str, object] | None = None,
                 **options) -> Path:
    """Write one file; options as of :func:`motion_arrays`.

    Args:
        path: ``..._poses.npz`` and ``..._stageii.npz`` get the schema of their name, ``..._stagei.npz`` and
            ``shape.npz`` only a shape.
        num_frames: N.
        changes: Key -> new value, a function of the old one, or None to leave the key out.
    """
    name = path.name
    schema = 'smplh' if name.endswith(('_poses.npz', 'shape.npz')) else 'smplx'
    arrays = motion_arrays(num_frames, schema, seed=zlib.crc32(name.encode()), **options)
    if name.endswith(('stagei.npz', 'shape.npz')):
        arrays = {key: arrays[key] for key in ('betas', 'gender')}
    for key, value in (changes or {}).items():
        if value is None:
            del arrays[key]
        else:
            arrays[key] = value(arrays[key]) if callable(value) else value
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('wb') as file:
        np.savez_compressed(file, **arrays)
    return path


def write_amass_tree(folder: Path, files: Mapping[str, int] = SMALL_TREE, **options) -> Path:
    """Write motion files below ``folder`` and return it.

    Args:
        folder: The later ``amass_root``.
        files: Relative path -> frames; :data:`SMALL_TREE` has both schemas, a nested data set, files that are no
            motion, one that is too short, and subjects of BMLrub for every split of ``v02_05`` and
            ``bmlrub_thirds``.
        options: Of :func:`motion_arrays`, for all files.
    """
    for relative, num_frames in files.items():
        write_motion(folder / relative, num_frames, **options)
    return folder
