# 100 passes. The original's optimiser, CAME, is none of torch's; its constant rate of 1e-4, which a default scaled with
# the root of batch / 256, clipping at 0.1 and warm-up are kept, and so is the average that it asks for and never makes.
train_cfg = dict(type='EpochLoop', max_epochs=100, val_interval=1)
optim_wrapper = dict(
    type='AutocastOptimWrapper', optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.01), dtype='bfloat16',
    clip_grad=dict(max_norm=0.1))
param_scheduler = [dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=2000)]
custom_hooks = [dict(type='EMAHook', decay=0.9999, warmup=True)]
