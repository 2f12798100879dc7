# Windows of 27 frames from data/lifting/<set>/<split>.npz; the files and names are for those who build on this.
train_dataloader = dict(
    drop_last=True,
    batch_size=256,
    num_workers=2,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='ResumableSampler', shuffle=True),
    collate_fn=dict(type='batch_collate'),
    dataset=dict(type='PoseLiftingDataset', data_root='data/lifting/', seq_len=27))
val_dataloader = dict(
    batch_size=1024,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='ResumableSampler', shuffle=False),
    collate_fn=dict(type='batch_collate'),
    dataset=dict(type='PoseLiftingDataset', data_root='data/lifting/', seq_len=27))

val_cfg = dict(type='EvalLoop')
test_cfg = dict(type='EvalLoop')
val_evaluator = dict(type='MPJPE')
test_evaluator = dict(type='MPJPE')
