# What motion generation adds: the body's name in logs and checkpoints. Of the regular checkpoints the newest is kept,
# beside the one with the lowest validation loss; how motion looks is told by neither, but by the motions that are
# generated at every validation.
_base_ = ['./default_runtime.py']

# On a GPU, products of the network in TF32, as published; those of the codec never are.
env_cfg = dict(allow_tf32=True)
default_hooks = dict(
    body=dict(type='BodyHook'),
    samples=dict(type='MotionSamplesHook'),
    checkpoint=dict(interval=100, max_keep_ckpts=1, save_best='total', rule='less'))
val_evaluator = dict(type='MotionDiffusionTerms')
test_evaluator = dict(type='MotionDiffusionTerms')
