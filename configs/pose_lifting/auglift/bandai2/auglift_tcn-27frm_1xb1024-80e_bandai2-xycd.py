_base_ = [
    '../../../_base_/default_runtime.py',
    '../../../_base_/datasets/lifting_mocap.py',
    '../../../_base_/models/lifting_tcn.py',
    '../../../_base_/schedules/lifting_80e.py',
]

default_hooks = dict(
    checkpoint=dict(save_best='MPJPE', rule='less'),
    visualization=dict(type='PoseVisualizationHook', enable=True, interval=200))
