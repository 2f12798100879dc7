# Identity: modulation joins what stage 1 trains, and so does the identity loss.
_base_ = [
    '../_base_/layout_generation_runtime.py',
    '../_base_/datasets/layout_scenes.py',
    '../_base_/models/layout_flux_tiny.py',
]

model = dict(stage=2, backbone=dict(parts=('layout', 'modulation')), identity_weight=3.0)
train_cfg = dict(max_iters=800, val_interval=800)
optim_wrapper = dict(optimizer=dict(lr=1.5e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', eta_min=0, by_epoch=False, begin=50, end=800, T_max=750)]
