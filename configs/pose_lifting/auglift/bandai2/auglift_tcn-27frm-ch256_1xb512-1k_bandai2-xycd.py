# A quarter of the published width and a short schedule: what the table in docs/en/pose_lifting.md is made with.
_base_ = [
    '../../../_base_/default_runtime.py',
    '../../../_base_/datasets/lifting_mocap.py',
    '../../../_base_/models/lifting_tcn.py',
    '../../../_base_/schedules/lifting_1k.py',
]

model = dict(backbone=dict(channels=256, dropout=0.1))
train_dataloader = dict(batch_size=512)

default_hooks = dict(
    checkpoint=dict(interval=500, by_epoch=False, save_best='MPJPE', rule='less'),
    visualization=dict(type='PoseVisualizationHook', interval=200))
