"""The four parts together: they learn from annotation files, and depth helps where only depth can."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from motionlab.datasets.pose_lifting_dataset import PoseLiftingDataset
from motionlab.evaluation.functional.baselines import constant_pose_mpjpe, mean_pose
from motionlab.evaluation.metrics import MPJPE
from motionlab.registry import MODELS
from tests.synthetic import write_lifting_annotation


def _train(draw: Callable[[int], dict[str, Tensor]], channels: int, kernels: tuple[int, ...],
           iterations: int) -> torch.nn.Module:
    torch.manual_seed(0)
    lifter = MODELS.build(dict(
        type='PoseLifter', codec=dict(type='ImagePoseLifting', num_input_channels=channels),
        backbone=dict(type='TCN', channels=48, kernel_sizes=kernels, dropout=0.0),
        head=dict(type='PoseRegressionHead'), flip_prob=0.5, test_flip=True))
    optimizer = torch.optim.Adam(lifter.parameters(), 5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations)
    for iteration in range(iterations):
        data = lifter.data_preprocessor(draw(iteration), training=True)
        loss = lifter(**data, mode='loss')['loss_mpjpe']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return lifter.eval()


def test_learns_from_an_annotation(tmp_path):
    train, val = (PoseLiftingDataset(write_lifting_annotation(tmp_path, name, clips=clips, frames=40, seed=seed),
                                     seq_len=9, dataset_name='synthetic')
                  for name, clips, seed in (('train', 12, 0), ('val', 4, 1)))
    rng = np.random.default_rng(0)
    lifter = _train(lambda _: train.__getitems__(rng.integers(len(train), size=96)), 4, (3, 3), iterations=120)
    metric = MPJPE()
    metric.dataset_meta = val.metainfo
    for rows in np.array_split(np.arange(len(val)), 3):
        metric.process({}, lifter.val_step(val.__getitems__(rows)))
    found = metric.evaluate(len(val))
    whole = [data.__getitems__(np.arange(len(data))) for data in (train, val)]
    answer = mean_pose([(whole[0]['target_m'], whole[0]['target_visible'])])
    baseline = constant_pose_mpjpe(answer, [(whole[1]['target_m'], whole[1]['target_visible'])])
    assert found['MPJPE'] < 0.6 * baseline
    assert {'MPJPE/walk', 'MPJPE/jump', 'MPJPE/reach-out', 'MPJPE/action-wise', 'MPJVE'} <= set(found)


def _cloud(seed: int, samples: int = 128) -> dict[str, Tensor]:
    """Joints anywhere around the root: nothing in the image tells how deep they are."""
    rng = torch.Generator().manual_seed(seed)
    target = 0.3 * torch.randn(samples, 1, 17, 3, generator=rng)
    target[..., 0, :] = 0
    target += torch.tensor([0, 0, 5.0])
    return dict(keypoints_px=500 + 1000 * target[..., :2] / target[..., 2:], confidence=torch.ones(samples, 1, 17),
                depth_m=target[..., 2], image_size_px=torch.full((samples, 2), 1000.0), target_m=target,
                target_visible=torch.ones(samples, 1, 17, dtype=torch.bool))


def test_depth_helps_where_only_depth_can():
    held_out = _cloud(seed=10_000)
    errors = {}
    for channels in (2, 4):
        lifter = _train(_cloud, channels, kernels=(1, 1), iterations=250)
        with torch.no_grad():
            pred = lifter(held_out, mode='predict')['pred_m']
        truth = held_out['target_m'] - held_out['target_m'][:, :, :1]
        errors[channels] = (pred - truth).norm(dim=-1).mean().item()
    assert errors[4] < 0.8 * errors[2]
