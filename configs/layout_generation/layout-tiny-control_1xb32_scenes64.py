# What stage 2 is compared with: stage 1 simply trained for as long again, from its end, at the rates of stage 2. A step
# of it takes half the time of one of stage 2. Begin with tools/train.py THIS --finetune CHECKPOINT_OF_STAGE_1.
_base_ = ['./layout-tiny-stage1_1xb32_scenes64.py']

train_cfg = dict(max_iters=1600, val_interval=1600)
optim_wrapper = dict(optimizer=dict(lr=1.5e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', eta_min=0, by_epoch=False, begin=50, end=1600, T_max=1550)]
default_hooks = dict(stage=dict(begins_after=1))
