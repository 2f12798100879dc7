# As published: AdamW without schedule or clipping; one window of every sequence an epoch; the average of the weights
# begins after 5 % of the epochs.
train_cfg = dict(type='EpochLoop', max_epochs=30000, val_interval=100)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.01))
param_scheduler = []
custom_hooks = [dict(type='EMAHook', decay=0.999, begin_ratio=0.05)]
auto_scale_lr = dict(enable=False, base_batch_size=256)
