# mmpose's recipe for the TCN: Adam, learning rate x 0.975 an epoch for 80 of 160 epochs, batches of 8 x 128.
train_cfg = dict(type='EpochLoop', max_epochs=160, val_interval=1)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3))
param_scheduler = [dict(type='ExponentialLR', gamma=0.975, by_epoch=True, begin=0, end=80)]
auto_scale_lr = dict(enable=False, base_batch_size=1024)
