# Procedural motion seen by virtual cameras; `procedural_shifted` has other bodies, cameras and speeds.
# tools/dataset_converters/{generate_motion,amass_to_lifting}.py write these files.
train_dataloader = dict(
    drop_last=True,
    batch_size=256,
    num_workers=0,
    sampler=dict(type='ResumableSampler', shuffle=True),
    collate_fn=dict(type='batch_collate'),
    dataset=dict(
        type='PoseLiftingDataset',
        data_root='data/lifting/',
        ann_file='procedural/train.npz',
        dataset_name='procedural',
        seq_len=27))
val_dataloader = dict(
    batch_size=256,
    num_workers=0,
    sampler=dict(type='ResumableSampler', shuffle=False),
    collate_fn=dict(type='batch_collate'),
    dataset=dict(
        type='PoseLiftingDataset',
        data_root='data/lifting/',
        ann_file='procedural/val.npz',
        dataset_name='procedural',
        seq_len=27))
test_dataloader = [
    dict(
        batch_size=256,
        num_workers=0,
        sampler=dict(type='ResumableSampler', shuffle=False),
        collate_fn=dict(type='batch_collate'),
        dataset=dict(
            type='PoseLiftingDataset',
            data_root='data/lifting/',
            ann_file=f'{name}/test.npz',
            dataset_name=name,
            seq_len=27)) for name in ('procedural', 'procedural_shifted')
]

val_cfg = dict(type='EvalLoop')
test_cfg = dict(type='EvalLoop')
val_evaluator = dict(type='MPJPE')
test_evaluator = dict(type='MPJPE')
