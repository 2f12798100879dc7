# A quarter of the published width: minutes on two CPU cores.
_base_ = [
    '../../../_base_/lifting_runtime.py',
    '../../../_base_/datasets/lifting_mocap_joint.py',
    '../../../_base_/models/lifting_tcn.py',
    '../../../_base_/schedules/lifting_1k.py',
]

model = dict(backbone=dict(channels=256, dropout=0.1))
auto_scale_lr = dict(base_batch_size=256)

default_hooks = dict(checkpoint=dict(interval=500, by_epoch=False))
