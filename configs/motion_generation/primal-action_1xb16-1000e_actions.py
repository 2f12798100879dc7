# Adapter for classes of motion on a trained velocity model: tools/train.py THIS --finetune BASE. The base is unchanged.
_base_ = [
    '../_base_/motion_generation_runtime.py',
    '../_base_/datasets/motions_actions.py',
    '../_base_/models/primal.py',
    '../_base_/schedules/primal_adapter.py',
]

model = dict(backbone=dict(adapter=dict(kind='controlnet2', control='action', num_actions=10)))
auto_scale_lr = dict(base_batch_size=16)
