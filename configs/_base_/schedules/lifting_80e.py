# VideoPose3D's recipe: Adam with AMSGrad, learning rate x 0.95 an epoch, 80 epochs, batch norm of ever longer memory.
# An epoch of the original shows every window twice, as it is and mirrored; here each is mirrored at flip_prob.
train_cfg = dict(type='EpochLoop', max_epochs=80, val_interval=1)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3, amsgrad=True))
param_scheduler = [dict(type='ExponentialLR', gamma=0.95, by_epoch=True, begin=0, end=80)]
auto_scale_lr = dict(enable=False, base_batch_size=1024)
custom_hooks = [dict(type='BNMomentumHook', initial=0.1, final=0.001)]
