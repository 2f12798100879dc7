# The published model at its last revision: 256 px, latents of TAESD (4 x 32 x 32), S = 3.
_base_ = [
    '../_base_/frame_prediction_runtime.py',
    '../_base_/datasets/pacman.py',
    '../_base_/models/sana_p1_d12.py',
    '../_base_/schedules/sana_100e.py',
]

auto_scale_lr = dict(enable=False, base_batch_size=10)

default_hooks = dict(checkpoint=dict(interval=1, by_epoch=True))
