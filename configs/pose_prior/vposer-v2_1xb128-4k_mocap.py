# Real motion capture on a stand-in body, for two CPU cores: 4000 iterations, a cosine in the place of the plateau rule.
_base_ = [
    '../_base_/pose_prior_runtime.py',
    '../_base_/datasets/body_poses_mocap.py',
    '../_base_/models/vposer.py',
]

model = dict(body=dict(path='data/body_models/stand_in/SMPLX_NEUTRAL.npz'))

train_cfg = dict(type='IterLoop', max_iters=4000, val_interval=1000)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3, weight_decay=1e-5))
param_scheduler = [dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=0, end=4000, T_max=4000)]
auto_scale_lr = dict(enable=False, base_batch_size=128)

default_hooks = dict(checkpoint=dict(interval=500, by_epoch=False))
