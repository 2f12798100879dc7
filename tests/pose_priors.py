"""Poses, a body and configs small enough to train VPoser in a second."""

from pathlib import Path

import numpy as np
from mmengine.config import Config

from motionlab.engine.config import load_config
from tests.conftest import REPO

DEMO = REPO / 'configs/pose_prior/vposer-v2-h64_1xb32-20e_demo.py'
SIZES = {'train': 33, 'vald': 21, 'test': 10}
BATCH = 8
TOES, LEFT_SHOULDER_Z, RIGHT_SHOULDER_Z = slice(27, 33), 47, 50


def random_poses(count: int, seed: int = 0) -> np.ndarray:
    """(count, 63) float32 axis-angle, radians: arms hang down, few degrees of freedom, toes at zero."""
    rng = np.random.default_rng(seed)
    factors = np.random.default_rng(1).standard_normal((6, 63))
    poses = 0.09 * rng.standard_normal((count, 6)) @ factors
    poses[:, LEFT_SHOULDER_Z] -= 1.1
    poses[:, RIGHT_SHOULDER_Z] += 1.1
    poses[:, TOES] = 0
    return poses.astype(np.float32)


def write_pose_splits(folder: Path, sizes: dict[str, int] | None = None) -> Path:
    """``train.npz``, ``vald.npz`` and ``test.npz`` in ``folder``, as the preparation writes them."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, count) in enumerate((sizes or SIZES).items()):
        np.savez(folder / f'{name}.npz', pose_body=random_poses(count, seed), root_orient=np.zeros((count, 3), 'f4'))
    return folder


def pose_prior_config(data: Path, body: Path, work_dir: Path | str = 'unused', **options) -> Config:
    """The demo config with tiny batches on ``data``; ``options`` are dotted keys, with ``__`` for dots."""
    changes = {
        'work_dir': str(work_dir), 'log_level': 'INFO', 'model.backbone.num_neurons': 16,
        'model.backbone.latent_dim': 4, 'model.body.path': str(body), 'train_dataloader.batch_size': BATCH,
        'val_dataloader.batch_size': BATCH, 'default_hooks.visualization': None, 'default_hooks.logger.interval': 1,
        'log_processor.window_size': 1, 'train_dataloader.dataset.data_root': str(data),
        'val_dataloader.dataset.data_root': str(data)}
    for number in range(2):
        changes |= {f'test_dataloader.{number}.dataset.data_root': str(data),
                    f'test_dataloader.{number}.batch_size': BATCH}
    return load_config(DEMO, changes | {key.replace('__', '.'): value for key, value in options.items()})
