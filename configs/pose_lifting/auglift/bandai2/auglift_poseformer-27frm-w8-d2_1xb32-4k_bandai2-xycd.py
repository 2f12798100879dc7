# A quarter of the published width, half its depth and perceptrons, small batches: for comparing inputs on a CPU.
_base_ = [
    '../../../_base_/lifting_runtime.py',
    '../../../_base_/datasets/lifting_mocap_stride8.py',
    '../../../_base_/models/lifting_poseformer.py',
]

model = dict(backbone=dict(embed_dim=8, num_heads=2, spatial_depth=2, temporal_depth=2, mlp_ratio=2))
train_dataloader = dict(batch_size=32)

train_cfg = dict(type='IterLoop', max_iters=4000, val_interval=4000)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.05))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=50, end=4000, T_max=3950)]
auto_scale_lr = dict(enable=False, base_batch_size=32)

default_hooks = dict(checkpoint=dict(interval=1000, by_epoch=False))
