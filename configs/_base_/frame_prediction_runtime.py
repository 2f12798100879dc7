# What frame prediction adds. Of the regular checkpoints the newest is kept, beside the one whose validation frames have
# the highest PSNR.
_base_ = ['./default_runtime.py']

# On a GPU, products of the network in TF32; solver state and times are float32 whatever the network computes in.
env_cfg = dict(allow_tf32=True)
default_hooks = dict(
    checkpoint=dict(interval=500, by_epoch=False, max_keep_ckpts=1, save_best='psnr', rule='greater'),
    samples=dict(type='FrameSamplesHook'))
val_evaluator = dict(type='FramePredictionMetric')
test_evaluator = dict(type='FramePredictionMetric')
