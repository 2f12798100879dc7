# 1000 iterations with a cosine: minutes on two CPU cores, for comparing inputs rather than for records.
train_cfg = dict(type='IterLoop', max_iters=1000, val_interval=1000)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=3e-3))
param_scheduler = [dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=0, end=1000, T_max=1000)]
auto_scale_lr = dict(enable=False, base_batch_size=512)
