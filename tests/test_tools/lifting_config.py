"""A small lifter on a synthetic annotation, as a config file that the command line tools can read."""

from pathlib import Path

from tests.synthetic import write_lifting_annotation

_CONFIG = """
default_scope = 'motionlab'
model = dict(
    type='PoseLifter',
    codec=dict(type='ImagePoseLifting', use_confidence=True, use_depth=True),
    backbone=dict(type='TCN', kernel_sizes=(3, 3), channels=16, dropout=0.25),
    head=dict(type='PoseRegressionHead', loss=dict(type='MPJPELoss')),
    flip_prob=0.5, test_flip=True)
train_dataloader = dict(
    batch_size=16, num_workers=0, sampler=dict(type='ResumableSampler', shuffle=True),
    dataset=dict(type='PoseLiftingDataset', data_root={folder!r}, ann_file='train.npz', seq_len=9,
                 dataset_name='synth'))
val_dataloader = dict(
    batch_size=16, num_workers=0, sampler=dict(type='ResumableSampler', shuffle=False),
    dataset=dict(type='PoseLiftingDataset', data_root={folder!r}, ann_file='val.npz', seq_len=9,
                 dataset_name='synth'))
test_dataloader = val_dataloader
train_cfg = dict(type='EpochLoop', max_epochs={epochs})
val_cfg = dict(type='EvalLoop')
test_cfg = dict(type='EvalLoop')
val_evaluator = dict(type='MPJPE')
test_evaluator = dict(type='MPJPE')
optim_wrapper = dict(optimizer=dict(type='Adam', lr=1e-3, amsgrad=True))
param_scheduler = [dict(type='ExponentialLR', gamma=0.95, by_epoch=True, begin=0, end=80)]
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=1),
    checkpoint=dict(type='CheckpointHook', interval=1, save_best='MPJPE', rule='less'))
randomness = dict(seed=3)
"""


def write_lifting_config(folder: Path, epochs: int = 2) -> Path:
    """Write ``<folder>/lifter.py`` and its data: 76 training and 21 validation samples, no multiples of a batch.

    An odd number of training samples would repeat one on two ranks.
    """
    write_lifting_annotation(folder, 'train', clips=4, frames=19)
    write_lifting_annotation(folder, 'val', clips=1, frames=21, seed=1)
    path = folder / 'lifter.py'
    path.write_text(_CONFIG.format(folder=str(folder), epochs=epochs))
    return path
