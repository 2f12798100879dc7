# A quarter of the published width and a short schedule: minutes on one CPU core, for comparing inputs.
_base_ = [
    '../../../_base_/lifting_runtime.py',
    '../../../_base_/datasets/lifting_mocap_stride8.py',
    '../../../_base_/models/lifting_tcn.py',
]

model = dict(backbone=dict(channels=256, dropout=0.1))

train_cfg = dict(type='IterLoop', max_iters=2000, val_interval=2000)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=3e-3))
param_scheduler = [dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=0, end=2000, T_max=2000)]
auto_scale_lr = dict(enable=False, base_batch_size=256)

default_hooks = dict(checkpoint=dict(interval=1000, by_epoch=False))
