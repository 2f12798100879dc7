# A quarter of the published width, the same four numbers a head: minutes on two CPU cores.
_base_ = [
    '../../../_base_/lifting_runtime.py',
    '../../../_base_/datasets/lifting_mocap_joint.py',
    '../../../_base_/models/lifting_poseformer.py',
    '../../../_base_/schedules/lifting_1k.py',
]

model = dict(backbone=dict(embed_dim=8, num_heads=2))
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=0.05))
auto_scale_lr = dict(base_batch_size=256)

default_hooks = dict(checkpoint=dict(interval=500, by_epoch=False))
