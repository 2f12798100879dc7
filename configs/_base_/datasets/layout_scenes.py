# Scenes of textured shapes, drawn when they are first asked for: nothing is downloaded or prepared. Captions name
# shapes only: colours and textures are to be had from the references. Sets of different seeds share no scene.
train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    sampler=dict(type='ResumableSampler', shuffle=True),
    collate_fn=dict(type='batch_collate'),
    dataset=dict(type='LayoutSceneDataset', num_scenes=10000, seed=0, captions='shapes', dataset_name='train'))
val_dataloader = dict(
    batch_size=32,
    num_workers=0,
    sampler=dict(type='ResumableSampler', shuffle=False),
    collate_fn=dict(type='batch_collate'),
    dataset=dict(type='LayoutSceneDataset', num_scenes=64, seed=1, captions='shapes', images=True, dataset_name='val'))
test_dataloader = dict(
    batch_size=32,
    num_workers=0,
    sampler=dict(type='ResumableSampler', shuffle=False),
    collate_fn=dict(type='batch_collate'),
    dataset=dict(type='LayoutSceneDataset', num_scenes=160, seed=2, captions='shapes', images=True,
                 dataset_name='test'))

val_cfg = dict(type='EvalLoop')
test_cfg = dict(type='EvalLoop')
val_evaluator = [dict(type='LayoutTerms', prefix='terms'), dict(type='LayoutMetric')]
test_evaluator = [dict(type='LayoutTerms', prefix='terms'), dict(type='LayoutMetric')]
