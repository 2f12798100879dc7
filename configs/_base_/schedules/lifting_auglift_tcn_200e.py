# AugLift's recipe for the TCN and the SimpleBaseline: Adam, learning rate x 0.98 an epoch, 200 epochs, batches of 512.
train_cfg = dict(type='EpochLoop', max_epochs=200, val_interval=1)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-4))
param_scheduler = [dict(type='ExponentialLR', gamma=0.98, by_epoch=True, begin=0, end=200)]
auto_scale_lr = dict(enable=False, base_batch_size=512)
