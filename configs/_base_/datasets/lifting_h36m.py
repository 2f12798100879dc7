# Human3.6M: trained on S1, S5, S6, S7, S8, judged on S9, S11 and on three other data sets.
# tools/dataset_converters/{h36m,mpi_inf_3dhp,pw3d,fit3d}_to_lifting.py write these files.
train_dataloader = dict(
    drop_last=True,
    batch_size=256,
    num_workers=2,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='ResumableSampler', shuffle=True),
    collate_fn=dict(type='batch_collate'),
    dataset=dict(
        type='PoseLiftingDataset',
        data_root='data/lifting/',
        ann_file='h36m/train.npz',
        dataset_name='h36m',
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
        ann_file='h36m/test.npz',
        dataset_name='h36m',
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
            ann_file=f'{name}/{split}.npz',
            dataset_name=name,
            seq_len=27)) for name, split in
    (('h36m', 'test'), ('mpi_inf_3dhp', 'test'), ('3dpw', 'test'), ('fit3d', 'val'))  # Fit3D publishes no test truth.
]

val_cfg = dict(type='EvalLoop')
test_cfg = dict(type='EvalLoop')
# Joints that a data set lacks (the nose of 3DPW) are hidden and must not take part in the alignment.
val_evaluator = dict(type='MPJPE', align_over='visible')
test_evaluator = dict(type='MPJPE', align_over='visible')
