# A folder of tools/dataset_converters/prepare_layout_images.py; tools/analysis_tools/check_layout_data.py shows what is
# in it. The first 90 % of its images are trained on. A batch holds latents of one size.
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='SizeBucketSampler', shuffle=True),
    collate_fn=dict(type='batch_collate'),
    dataset=dict(type='LayoutImageDataset', data_root='data/output_data', split='train', max_refs=50))
val_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='SizeBucketSampler', shuffle=False, batch_size=2),
    collate_fn=dict(type='batch_collate'),
    dataset=dict(type='LayoutImageDataset', data_root='data/output_data', split='val', max_refs=50, images=True))
test_dataloader = val_dataloader

val_cfg = dict(type='EvalLoop')
test_cfg = dict(type='EvalLoop')
val_evaluator = [dict(type='LayoutTerms', prefix='terms')]
test_evaluator = [dict(type='LayoutTerms', prefix='terms')]
