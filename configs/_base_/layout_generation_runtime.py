# What layout generation adds. All counts (steps, schedules, intervals, checkpoints' numbers) are steps of the
# optimizer, however many batches it accumulates. The newest five checkpoints are kept; the last step is always saved.
_base_ = ['./default_runtime.py']

# On a GPU, float32 products (LoRA, heads) in TF32; losses are float32.
env_cfg = dict(allow_tf32=True)
randomness = dict(seed=42)
default_hooks = dict(
    logger=dict(interval=100),
    checkpoint=dict(interval=100, by_epoch=False, max_keep_ckpts=5, save_best=None),
    scalars=dict(type='LayoutScalarsHook', interval=100),
    samples=dict(type='LayoutSamplesHook', interval=500, num_samples=4),
    stage=dict(type='LayoutStageHook'),
    trained_set=dict(type='TrainedSetHook'))
log_processor = dict(window_size=100)

train_cfg = dict(type='IterLoop', optimizer_steps=True)
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='GroupedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01),
    paramwise_cfg=dict(bias_decay_mult=0.0, norm_decay_mult=0.0),
    clip_grad=dict(max_norm=1.0))
