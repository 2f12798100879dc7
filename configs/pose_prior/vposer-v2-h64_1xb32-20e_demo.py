# Small enough for seconds: to try the commands, not for results.
_base_ = [
    '../_base_/pose_prior_runtime.py',
    '../_base_/datasets/body_poses.py',
    '../_base_/models/vposer.py',
    '../_base_/schedules/vposer_100e.py',
]

model = dict(
    backbone=dict(num_neurons=64),
    body=dict(path='data/body_models/stand_in/SMPLX_NEUTRAL.npz'))
train_dataloader = dict(batch_size=32)
train_cfg = dict(max_epochs=20)
