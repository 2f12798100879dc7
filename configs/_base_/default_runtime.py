default_scope = 'motionlab'
runner_type = 'MotionRunner'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    runtime_info=dict(type='RuntimeInfoHook'),
    iteration_seed=dict(type='IterationSeedHook'),
    codec_statistics=dict(type='CodecStatisticsHook'),
    finite_loss=dict(type='FiniteLossHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=3, save_best='auto'))

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(timeout=1800))
randomness = dict(seed=0)

visualizer = dict(type='Visualizer', vis_backends=[dict(type='ScalarsVisBackend'), dict(type='EventsVisBackend')])
log_processor = dict(type='LogProcessor', window_size=50)
log_level = 'INFO'

# fresh (neither), finetune (load_from), resume (resume=True); overwrite=True moves an earlier run aside.
load_from = None
resume = False
overwrite = False
