# The published recipe on the official AMASS splits. The original ran on four processes of 128 poses each.
_base_ = [
    '../_base_/pose_prior_runtime.py',
    '../_base_/datasets/body_poses.py',
    '../_base_/models/vposer.py',
    '../_base_/schedules/vposer_100e.py',
]
