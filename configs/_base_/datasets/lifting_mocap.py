# Real motion capture seen by virtual cameras: trained on bandai2, tested on it and on two sets never trained on.
# tools/dataset_converters/{mocap_to_amass,amass_to_lifting}.py write these files.
train_dataloader = dict(
    drop_last=True,
    batch_size=1024,
    num_workers=2,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='ResumableSampler', shuffle=True),
    collate_fn=dict(type='batch_collate'),
    dataset=dict(
        type='PoseLiftingDataset',
        data_root='data/lifting/',
        ann_file='bandai2/train.npz',
        dataset_name='bandai2',
        seq_len=27))
val_dataloader = dict(
    batch_size=1024,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='ResumableSampler', shuffle=False),
    collate_fn=dict(type='batch_collate'),
    dataset=dict(
        type='PoseLiftingDataset',
        data_root='data/lifting/',
        ann_file='bandai2/val.npz',
        dataset_name='bandai2',
        seq_len=27))
test_dataloader = [
    dict(
        batch_size=1024,
        num_workers=2,
        sampler=dict(type='ResumableSampler', shuffle=False),
        collate_fn=dict(type='batch_collate'),
        dataset=dict(
            type='PoseLiftingDataset',
            data_root='data/lifting/',
            ann_file=f'{name}/test.npz',
            dataset_name=name,
            seq_len=27)) for name in ('bandai2', 'bandai1', 'cmu')
]

val_cfg = dict(type='EvalLoop')
test_cfg = dict(type='EvalLoop')
val_evaluator = dict(type='MPJPE')
test_evaluator = dict(type='MPJPE')
