# AugLift's recipe for PoseFormer: AdamW, learning rate x 0.98 an epoch, 130 epochs, batches of 256.
train_cfg = dict(type='EpochLoop', max_epochs=130, val_interval=1)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=2e-4, weight_decay=0.05))
param_scheduler = [dict(type='ExponentialLR', gamma=0.98, by_epoch=True, begin=0, end=130)]
auto_scale_lr = dict(enable=False, base_batch_size=256)
