# An autoencoder of the maze game, from scratch.
_base_ = [
    '../_base_/frame_prediction_runtime.py',
    '../_base_/datasets/maze_game.py',
    '../_base_/models/frame_autoencoder.py',
]

train_dataloader = dict(batch_size=32)
train_cfg = dict(type='IterLoop', max_iters=8000, val_interval=1000)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3), clip_grad=dict(max_norm=1.0))
param_scheduler = [
    dict(type='CosineAnnealingLR', eta_min_ratio=0.05, by_epoch=False, begin=0, end=8000, T_max=8000)]
auto_scale_lr = dict(enable=False, base_batch_size=32)

# It has nothing to play: pictures of single frames only.
default_hooks = dict(checkpoint=dict(interval=1000), samples=dict(num_frames=0))
