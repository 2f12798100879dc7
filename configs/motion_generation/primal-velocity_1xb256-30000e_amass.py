# PRIMAL, ICCV 2025, the published recipe: about a million iterations.
_base_ = [
    '../_base_/motion_generation_runtime.py',
    '../_base_/datasets/motions.py',
    '../_base_/models/primal.py',
    '../_base_/schedules/primal_30000e.py',
]
