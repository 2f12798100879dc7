# Ten minutes of two CPU cores.
_base_ = [
    '../_base_/frame_prediction_runtime.py',
    '../_base_/datasets/maze_game.py',
    '../_base_/models/sana_frames.py',
]

train_cfg = dict(type='IterLoop', max_iters=1500, val_interval=1500)
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=3e-3, weight_decay=0.01), clip_grad=dict(max_norm=1.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=100, end=1500, T_max=1400)]
custom_hooks = [dict(type='EMAHook', decay=0.999, warmup=True)]
auto_scale_lr = dict(enable=False, base_batch_size=16)
