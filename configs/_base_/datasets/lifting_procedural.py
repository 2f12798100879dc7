# Procedural motion seen by virtual cameras; `procedural_shifted` has other bodies, cameras and speeds.
# tools/dataset_converters/{generate_motion,amass_to_lifting}.py write these files.
_base_ = ['./lifting.py']

train_dataloader = dict(
    num_workers=0, dataset=dict(ann_file='procedural/train.npz', dataset_name='procedural'))
val_dataloader = dict(
    batch_size=256, num_workers=0, dataset=dict(ann_file='procedural/val.npz', dataset_name='procedural'))
test_dataloader = [
    dict(_base_.val_dataloader, batch_size=256, num_workers=0,
         dataset=dict(_base_.val_dataloader.dataset, ann_file=f'{name}/test.npz', dataset_name=name))
    for name in ('procedural', 'procedural_shifted')
]
