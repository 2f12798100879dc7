# Layout, 70,000 steps of 2 x 4 images on each GPU: references, Assemble attention and LoRA, from FLUX.1-dev.
_base_ = [
    '../_base_/layout_generation_runtime.py',
    '../_base_/datasets/layout_output_data.py',
    '../_base_/models/layout_flux.py',
]

model = dict(stage=1, backbone=dict(parts=('layout',)), identity_weight=0.0)
train_cfg = dict(max_iters=70000, val_interval=1000)
optim_wrapper = dict(
    type='AutocastOptimWrapper', dtype='bfloat16', accumulative_counts=4, optimizer=dict(lr=1e-4),
    paramwise_cfg=dict(custom_keys={'.lora_': dict(lr_mult=0.1)}))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=1000),
    dict(type='CosineAnnealingLR', eta_min=0, by_epoch=False, begin=1000, end=70000, T_max=69000)]
