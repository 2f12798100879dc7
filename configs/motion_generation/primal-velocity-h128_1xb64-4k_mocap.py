# Real motion capture on a stand-in body, for two CPU cores.
_base_ = [
    '../_base_/motion_generation_runtime.py',
    '../_base_/datasets/motions_mocap.py',
    '../_base_/models/primal_mocap.py',
]

train_dataloader = dict(batch_size=64)
train_cfg = dict(type='IterLoop', max_iters=4000, val_interval=1000)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=5e-4, weight_decay=0.01))
param_scheduler = [dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=0, end=4000, T_max=4000)]
custom_hooks = [dict(type='EMAHook', decay=0.999, begin_ratio=0.05)]
auto_scale_lr = dict(enable=False, base_batch_size=64)

default_hooks = dict(checkpoint=dict(interval=1000, by_epoch=False))
