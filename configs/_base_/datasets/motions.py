# Windows of 16 frames (15 for velocity, 14 for acceleration) from data/primal/{train,vald,test}.npz, written by
# tools/dataset_converters/prepare_amass.py AMASS_ROOT data/primal --splits primal --selection motions \
#     --family smplx --body data/body_models/SMPLX_NEUTRAL.npz
# A batch is one gather from a mapped file: worker processes would only cost.
train_dataloader = dict(
    batch_size=256,
    num_workers=0,
    pin_memory=True,
    sampler=dict(type='ResumableSampler', shuffle=True),
    collate_fn=dict(type='batch_collate'),
    dataset=dict(type='MotionWindowDataset', data_root='data/primal/', ann_file='train.npz', seq_len=16,
                 shape_noise=1.0, dataset_name='train'))
val_dataloader = dict(
    batch_size=256,
    num_workers=0,
    sampler=dict(type='ResumableSampler', shuffle=False),
    collate_fn=dict(type='batch_collate'),
    dataset=dict(type='MotionWindowDataset', data_root='data/primal/', ann_file='vald.npz', seq_len=16, windows='all',
                 window_stride=16, shape_noise=1.0, dataset_name='vald'))
test_dataloader = [
    dict(val_dataloader, dataset=dict(val_dataloader['dataset'], ann_file=f'{name}.npz', dataset_name=name))
    for name in ('test', 'vald')
]

val_cfg = dict(type='EvalLoop')
test_cfg = dict(type='EvalLoop')
