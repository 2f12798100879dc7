# Adapter for places to reach (pelvis, x and z) on a trained velocity model: tools/train.py THIS --finetune BASE.
_base_ = [
    '../_base_/motion_generation_runtime.py',
    '../_base_/datasets/motions.py',
    '../_base_/models/primal.py',
    '../_base_/schedules/primal_adapter.py',
]

model = dict(backbone=dict(adapter=dict(kind='controlnet2', control='goal', goal_dim=2)))
