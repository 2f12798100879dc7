"""Models and runs of motion generation small enough for a second."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config

from motionlab.engine.config import load_config
from tests.conftest import REPO
from tests.motion_stores import write_motion_store

CONFIGS = REPO / 'configs/motion_generation'
DEMO = CONFIGS / 'primal-velocity-h32_1xb32-20e_demo.py'
LENGTHS = (16, 40, 25, 17, 30, 20)
BATCH = 2


def model_config(body: object = None, order: int = 1, *, codec: Mapping | None = None, backbone: Mapping | None = None,
                 head: Mapping | None = None) -> dict:
    """A MotionDiffuser of width 16; ``body`` is a file or a body."""
    if isinstance(body, Path):
        body = dict(type='BodyModel', path=str(body))
    return dict(
        type='MotionDiffuser', codec=dict(type='MotionEncoding', order=order, body=body, **(codec or {})),
        backbone=dict(type='MotionDiT', embed_dim=16, num_layers=2, num_heads=2, ffn_dim=32, **(backbone or {})),
        head=dict(type='DiffusionHead', **(head or {})))


def write_motion_splits(folder: Path, actions: bool = False) -> Path:
    """``train.npz``, ``vald.npz`` and ``test.npz`` in ``folder``."""
    for seed, name in enumerate(('train', 'vald', 'test')):
        lengths = LENGTHS if name == 'train' else (33, 20)
        write_motion_store(folder / f'{name}.npz', lengths, seed=seed,
                           changes={'trans': lambda trans: trans % np.float32(2)},
                           actions=[i % 3 for i in range(len(lengths))] if actions else None)
    return folder


def run_config(data: Path, body: Path, work_dir: Path | str = 'unused', **options) -> Config:
    """The demo config with tiny batches on ``data``: 6 sequences, 3 iterations an epoch; ``options`` are dotted keys,
    with ``__`` for dots.
    """
    changes = {
        'work_dir': str(work_dir), 'log_level': 'INFO', 'model.backbone.embed_dim': 16, 'model.backbone.num_heads': 2,
        'model.backbone.ffn_dim': 32, 'model.codec.body.path': str(body), 'train_dataloader.batch_size': BATCH,
        'val_dataloader.batch_size': BATCH, 'default_hooks.logger.interval': 1, 'log_processor.window_size': 1,
        'train_cfg.max_epochs': 4, 'train_cfg.val_interval': 1, 'default_hooks.checkpoint.interval': 1,
        'default_hooks.samples.enable': False, 'default_hooks.checkpoint.max_keep_ckpts': -1,
        'train_dataloader.dataset.data_root': str(data), 'val_dataloader.dataset.data_root': str(data)}
    for number in range(2):
        changes |= {f'test_dataloader.{number}.dataset.data_root': str(data),
                    f'test_dataloader.{number}.batch_size': BATCH}
    return load_config(DEMO, changes | {key.replace('__', '.'): value for key, value in options.items()})


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    """Whether two state dicts are equal, bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())
