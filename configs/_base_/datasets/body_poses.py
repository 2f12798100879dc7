# Single poses from data/vposer/{train,vald,test}.npz, written by
# tools/dataset_converters/prepare_amass.py AMASS_ROOT data/vposer --selection poses.
# A batch is one gather from a mapped file: worker processes would only cost.
train_dataloader = dict(
    batch_size=128,
    num_workers=0,
    pin_memory=True,
    sampler=dict(type='ResumableSampler', shuffle=True, min_batch=2),
    collate_fn=dict(type='batch_collate'),
    dataset=dict(type='BodyPoseDataset', data_root='data/vposer/', ann_file='train.npz', dataset_name='train'))
val_dataloader = dict(
    batch_size=256,
    num_workers=0,
    sampler=dict(type='ResumableSampler', shuffle=False),
    collate_fn=dict(type='batch_collate'),
    dataset=dict(type='BodyPoseDataset', data_root='data/vposer/', ann_file='vald.npz', dataset_name='vald'))
test_dataloader = [
    dict(val_dataloader, dataset=dict(val_dataloader['dataset'], ann_file=f'{name}.npz', dataset_name=name))
    for name in ('test', 'vald')
]

val_cfg = dict(type='EvalLoop')
test_cfg = dict(type='EvalLoop')
val_evaluator = dict(type='PosePriorTerms')
test_evaluator = dict(type='PosePriorTerms')
