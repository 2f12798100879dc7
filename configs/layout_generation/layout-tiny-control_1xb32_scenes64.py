# What stage 2 is compared with: stage 1 simply trained on from its end, at the rates of stage 2 and for at least its
# time: a step of stage 2 takes 1.25 times as long. Begin with tools/train.py THIS --finetune CHECKPOINT_OF_STAGE_1.
_base_ = ['./layout-tiny-stage1_1xb32_scenes64.py']

train_cfg = dict(max_iters=1100, val_interval=1100)
optim_wrapper = dict(optimizer=dict(lr=1.5e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', eta_min=0, by_epoch=False, begin=50, end=1100, T_max=1050)]
default_hooks = dict(stage=dict(begins_after=1))
