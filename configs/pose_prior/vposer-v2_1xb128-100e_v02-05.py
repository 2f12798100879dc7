# The published recipe on the splits it was published with.
_base_ = [
    '../_base_/pose_prior_runtime.py',
    '../_base_/datasets/body_poses_v02_05.py',
    '../_base_/models/vposer.py',
    '../_base_/schedules/vposer_100e.py',
]
