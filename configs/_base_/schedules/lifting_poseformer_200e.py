# The original PoseFormer's recipe for detected keypoints (true ones: lr=4e-4), 200 epochs, batches of 512. An epoch
# of the original shows every window twice, as it is and mirrored; here each is mirrored at flip_prob.
train_cfg = dict(type='EpochLoop', max_epochs=200, val_interval=1)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=4e-5, weight_decay=0.1))
param_scheduler = [dict(type='ExponentialLR', gamma=0.99, by_epoch=True, begin=0, end=200)]
auto_scale_lr = dict(enable=False, base_batch_size=512)
