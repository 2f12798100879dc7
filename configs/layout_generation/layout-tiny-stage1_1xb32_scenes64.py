# Layout: references, Assemble attention and LoRA, on the base of flux-tiny-base.
_base_ = [
    '../_base_/layout_generation_runtime.py',
    '../_base_/datasets/layout_scenes.py',
    '../_base_/models/layout_flux_tiny.py',
]

model = dict(stage=1, backbone=dict(parts=('layout',)), identity_weight=0.0)
train_cfg = dict(max_iters=1200, val_interval=1200)
optim_wrapper = dict(optimizer=dict(lr=4e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', eta_min=0, by_epoch=False, begin=100, end=1200, T_max=1100)]
