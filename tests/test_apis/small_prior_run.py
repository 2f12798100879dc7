"""A pose prior that trains and tests in a second: few poses, a small body, the demo config."""

import sys
from pathlib import Path

import numpy as np

from tests.conftest import REPO
from tests.test_tools import load_tool

DEMO = REPO / 'configs/pose_prior/vposer-v2-h64_1xb32-20e_demo.py'


def run_tool(tool: str, monkeypatch, folder: Path, body: Path, *arguments: str, **options: object) -> None:
    """Run ``tools/<tool>`` with :data:`DEMO` on 40 poses a split in ``folder``; ``options`` go to --cfg-options."""
    rng = np.random.default_rng(0)
    for split in ('train', 'vald', 'test'):
        if not (folder / f'{split}.npz').exists():
            np.savez(folder / f'{split}.npz', pose_body=rng.normal(0, 0.3, (40, 63)).astype(np.float32))
    changes = {'model.body.path': body, 'train_cfg.max_epochs': 1, 'default_hooks.visualization.enable': False,
               'train_dataloader.dataset.data_root': f'{folder}/', 'val_dataloader.dataset.data_root': f'{folder}/',
               'test_dataloader.0.dataset.data_root': f'{folder}/', 'test_dataloader.1.dataset.data_root': f'{folder}/',
               **{key.replace('__', '.'): value for key, value in options.items()}}
    monkeypatch.setattr(sys, 'argv', [tool, str(DEMO), *arguments, '--work-dir', str(folder / 'run'), '--cfg-options',
                                      *(f'{key}={value}' for key, value in changes.items())])
    load_tool(tool).main()
