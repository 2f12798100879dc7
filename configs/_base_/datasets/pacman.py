# Recordings of the original's game in data/pacman/frames256, from
# tools/dataset_converters/import_frames.py parquet SRC data/pacman/frames256
# Training reads latents that tools/cache_latents.py CONFIG has made; validation compares with frames.
train_dataloader = dict(
    batch_size=10,
    num_workers=0,
    pin_memory=True,
    sampler=dict(type='ResumableSampler', shuffle=True),
    collate_fn=dict(type='batch_collate'),
    dataset=dict(type='FrameWindowDataset', data_root='data/pacman/', ann_file='frames256', split='train',
                 num_history=3, latents='only', frames=False))
val_dataloader = dict(
    batch_size=10,
    num_workers=0,
    sampler=dict(type='ResumableSampler', shuffle=False),
    collate_fn=dict(type='batch_collate'),
    dataset=dict(type='FrameWindowDataset', data_root='data/pacman/', ann_file='frames256', split='val',
                 num_history=3))
test_dataloader = val_dataloader

val_cfg = dict(type='EvalLoop')
test_cfg = dict(type='EvalLoop')
