# Small enough for seconds: to try the commands, not for results.
_base_ = [
    '../_base_/motion_generation_runtime.py',
    '../_base_/datasets/motions.py',
    '../_base_/models/primal_mocap.py',
    '../_base_/schedules/primal_30000e.py',
]

model = dict(backbone=dict(embed_dim=32, num_layers=2, num_heads=4, ffn_dim=64))
train_dataloader = dict(batch_size=32)
train_cfg = dict(max_epochs=20, val_interval=5)
default_hooks = dict(checkpoint=dict(interval=5))
auto_scale_lr = dict(base_batch_size=32)
