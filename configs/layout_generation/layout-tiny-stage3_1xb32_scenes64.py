# Feedback alone; everything else, LoRA included, is active as stage 2 left it.
_base_ = [
    '../_base_/layout_generation_runtime.py',
    '../_base_/datasets/layout_scenes.py',
    '../_base_/models/layout_flux_tiny.py',
]

model = dict(stage=3, backbone=dict(parts=('layout', 'modulation', 'feedback')), identity_weight=3.0)
train_cfg = dict(max_iters=100, val_interval=100)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=10),
    dict(type='CosineAnnealingLR', eta_min=0, by_epoch=False, begin=10, end=100, T_max=90)]
