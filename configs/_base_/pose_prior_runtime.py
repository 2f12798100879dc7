# What pose priors add: the epoch for the loss and the body's name for logs; best is the lowest v2v_sampled (metres),
# the number that human_body_prior calls val_loss. Pictures of poses go to TensorBoard.
_base_ = ['./default_runtime.py']

default_hooks = dict(
    body=dict(type='BodyHook'),
    pose_prior=dict(type='PosePriorHook'),
    checkpoint=dict(max_keep_ckpts=1, save_best='v2v_sampled', rule='less'),
    visualization=dict(type='BodyPoseVisualizationHook', interval=10000))
randomness = dict(seed=100)
