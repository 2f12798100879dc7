# VideoPose3D's recipe: Adam with AMSGrad, learning rate x 0.95 an epoch, 80 epochs.
train_cfg = dict(type='EpochLoop', max_epochs=80, val_interval=1)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3, amsgrad=True))
param_scheduler = [dict(type='ExponentialLR', gamma=0.95, by_epoch=True, begin=0, end=80)]
auto_scale_lr = dict(enable=False, base_batch_size=1024)
