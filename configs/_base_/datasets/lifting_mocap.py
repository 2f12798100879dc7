# Real motion capture seen by virtual cameras: trained on bandai2, tested on it and on two sets never trained on.
# tools/dataset_converters/{mocap_to_amass,amass_to_lifting}.py write these files.
_base_ = ['./lifting.py']

train_dataloader = dict(batch_size=1024, dataset=dict(ann_file='bandai2/train.npz', dataset_name='bandai2'))
val_dataloader = dict(dataset=dict(ann_file='bandai2/val.npz', dataset_name='bandai2'))
test_dataloader = [
    dict(_base_.val_dataloader, persistent_workers=False,
         dataset=dict(_base_.val_dataloader.dataset, ann_file=f'{name}/test.npz', dataset_name=name))
    for name in ('bandai2', 'bandai1', 'cmu')
]
