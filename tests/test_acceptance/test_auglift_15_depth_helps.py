"""Train twice for a few seconds: with true depth, and without."""

import numpy as np
import torch

from motionlab.datasets.pose_lifting_dataset import PoseLiftingDataset
from motionlab.evaluation.metrics import MPJPE
from motionlab.registry import MODELS
from tests.synthetic import write_lifting_annotation


def _write(folder, name, clips, frames, seed):
    """Clips whose hands and feet are shifted along the line of sight, which the image does not show; true depth."""
    path = write_lifting_annotation(folder, name, clips=clips, frames=frames, seed=seed)
    arrays = dict(np.load(path))
    shift = np.random.default_rng([seed, 9]).normal(1, 0.05, (len(arrays['S']), 4, 1))
    arrays['S'][:, [3, 6, 13, 16], :3] *= shift
    arrays['predicted_da_depth'] = arrays['S'][..., 2]
    np.savez(path, **arrays)
    return PoseLiftingDataset(path, seq_len=1)


def _mpjpe(channels, train, val, iterations=200):
    torch.manual_seed(0)
    lifter = MODELS.build(dict(
        type='PoseLifter', codec=dict(type='ImagePoseLifting', num_input_channels=channels),
        backbone=dict(type='TCN', channels=48, kernel_sizes=(1, 1), dropout=0.0),
        head=dict(type='PoseRegressionHead'), flip_prob=0.5, test_flip=True))
    optimizer = torch.optim.Adam(lifter.parameters(), 5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations)
    rng = np.random.default_rng(0)
    for _ in range(iterations):
        data = lifter.data_preprocessor(train.__getitems__(rng.integers(len(train), size=96)), training=True)
        optimizer.zero_grad()
        lifter(**data, mode='loss')['loss_mpjpe'].backward()
        optimizer.step()
        schedule.step()
    metric = MPJPE()
    metric.dataset_meta = val.metainfo
    metric.process({}, lifter.eval().val_step(val.__getitems__(range(len(val)))))
    return metric.evaluate(len(val))['MPJPE']


def test_auglift_15_depth_helps(tmp_path):
    """On synthetic data with true depth, XYCD beats XY."""
    train, val = _write(tmp_path, 'train', 20, 60, seed=0), _write(tmp_path, 'val', 4, 40, seed=1)
    xy, xycd = _mpjpe(2, train, val), _mpjpe(4, train, val)
    assert xycd < 0.8 * xy, f'XYCD {xycd:.1f} mm, XY {xy:.1f} mm'
