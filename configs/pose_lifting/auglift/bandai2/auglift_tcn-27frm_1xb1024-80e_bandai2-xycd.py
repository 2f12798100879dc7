_base_ = [
    '../../../_base_/lifting_runtime.py',
    '../../../_base_/datasets/lifting_mocap.py',
    '../../../_base_/models/lifting_tcn.py',
    '../../../_base_/schedules/lifting_80e.py',
]
