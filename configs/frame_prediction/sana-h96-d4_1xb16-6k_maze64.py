# About an hour of one CPU core.
_base_ = ['./sana-h96-d4_1xb16-1500_maze64.py']

train_cfg = dict(max_iters=6000, val_interval=2000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=100, end=6000, T_max=5900)]
