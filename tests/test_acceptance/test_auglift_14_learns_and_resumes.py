"""Two epochs through the command line: the lifter learns, and stopping in between changes nothing."""

import json
import subprocess
import sys

import numpy as np
import torch

from motionlab.datasets.pose_lifting_dataset import PoseLiftingDataset
from motionlab.engine.checkpoint import load_checkpoint_file
from motionlab.evaluation.functional.baselines import constant_pose_mpjpe, mean_pose
from tests.conftest import REPO
from tests.synthetic import write_lifting_annotation
from tests.test_tools.lifting_config import write_lifting_config


def _train(config, work_dir, *options):
    command = [sys.executable, str(REPO / 'tools/train.py'), str(config), '--work-dir', str(work_dir), *options]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def _poses(folder, name):
    data = PoseLiftingDataset(folder / f'{name}.npz', seq_len=1)
    batch = data.__getitems__(np.arange(len(data)))
    return [(batch['target_m'], batch['target_visible'])]


def test_auglift_14_learns_and_resumes(tmp_path):
    """Train 2 epochs on synthetic clips: loss falls, MPJPE < predict-mean baseline; resume equals uninterrupted run."""
    config = write_lifting_config(tmp_path, epochs=2)
    write_lifting_annotation(tmp_path, 'train', clips=24, frames=40)
    faster = ['--cfg-options', 'optim_wrapper.optimizer.lr=5e-3', 'model.backbone.channels=32',
              'model.backbone.dropout=0.0']
    _train(config, tmp_path / 'whole', *faster)
    scalars = [json.loads(line) for line in (tmp_path / 'whole/logs/scalars.json').read_text().splitlines()]
    losses = [row['loss'] for row in scalars if 'loss' in row]
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])
    mpjpe = [row['MPJPE'] for row in scalars if 'MPJPE' in row][-1]
    baseline = constant_pose_mpjpe(mean_pose(_poses(tmp_path, 'train')), _poses(tmp_path, 'val'))
    assert mpjpe < baseline

    _train(config, tmp_path / 'parts', *faster, 'train_cfg.max_epochs=1')
    assert not (tmp_path / 'parts/epoch_2.pth').exists()
    _train(config, tmp_path / 'parts', '--resume', *faster)
    whole, parts = (load_checkpoint_file(tmp_path / name / 'epoch_2.pth')['state_dict'] for name in ('whole', 'parts'))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
