# Small enough for two CPU cores: `make demo` trains it and its XY sibling.
_base_ = [
    '../../../_base_/lifting_runtime.py',
    '../../../_base_/datasets/lifting_procedural.py',
    '../../../_base_/models/lifting_tcn.py',
]

model = dict(backbone=dict(channels=256, dropout=0.1))

train_cfg = dict(type='EpochLoop', max_epochs=6, val_interval=1)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=3e-3))
param_scheduler = [dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=True, begin=0, end=6, T_max=6,
                        convert_to_iter_based=True)]
auto_scale_lr = dict(enable=False, base_batch_size=256)
default_hooks = dict(visualization=dict(interval=50))
