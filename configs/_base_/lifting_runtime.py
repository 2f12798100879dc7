# What lifting adds: the best checkpoint is the one with the lowest MPJPE, and poses are drawn.
_base_ = ['./default_runtime.py']

default_hooks = dict(
    checkpoint=dict(save_best='MPJPE', rule='less'),
    visualization=dict(type='PoseVisualizationHook', interval=200))
