"""Small files of prepared motions, as prepare_amass writes them, with made-up walking bodies."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np


def write_motion_store(path: Path, lengths: Sequence[int] = (16, 40, 25), *, seed: int = 0,
                       changes: Mapping[str, object] | None = None, actions: Sequence[int] | None = None) -> Path:
    """Write one file. ``trans[:, 0]`` counts the rows, so that a window tells where it is from.

    Args:
        path: ``.npz``.
        lengths: Frames of each sequence.
        seed: Of the motion.
        changes: Key -> new value, a function of the old one, or None to leave the key out.
        actions: Class of each sequence; names are a, b, c, ...
    """
    rng, total, count = np.random.default_rng(seed), sum(lengths), len(lengths)
    trans = rng.normal(0, 0.1, (total, 3)) + [0, 1.25, 0]
    trans[:, 0] = np.arange(total)
    arrays = {'trans': trans.astype(np.float32),
              'root_orient': rng.normal(0, 0.2, (total, 3)).astype(np.float32),
              'pose_body': rng.normal(0, 0.2, (total, 63)).astype(np.float32),
              'starts': np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
              'betas': rng.normal(0, 1, (count, 16)).astype(np.float32), 'num_betas': np.full(count, 16, np.int32),
              'gender': np.full(count, 'neutral'), 'family': np.full(count, 'smplx'),
              'source_fps': np.full(count, 120.0),
              'files': np.array([f'X/s/{i:02d}_stageii.npz' for i in range(count)]),
              'datasets': np.full(count, 'X', '<U10'), 'subjects': np.full(count, 's'), 'fps': np.array(30.0),
              'up_axis': np.array('y')}
    if actions is not None:
        arrays |= {'action': np.array(actions, np.int64),
                   'action_names': np.array([chr(ord('a') + i) for i in range(max(actions) + 1)])}
    for key, value in (changes or {}).items():
        if value is None:
            del arrays[key]
        else:
            arrays[key] = value(arrays[key]) if callable(value) else value
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path
