# The splits of the published V02_05 in data/vposer_v02_05: train CMU + BMLrub 1-67, test 68-91, vald 92-115, from
# tools/dataset_converters/prepare_amass.py AMASS_ROOT data/vposer_v02_05 --splits v02_05 --selection poses.
_base_ = ['./body_poses.py']

_root = 'data/vposer_v02_05/'
train_dataloader = dict(dataset=dict(data_root=_root))
val_dataloader = dict(dataset=dict(data_root=_root))
test_dataloader = [
    dict(_base_.val_dataloader, dataset=dict(_base_.val_dataloader.dataset, data_root=_root, ann_file=f'{name}.npz',
                                             dataset_name=name))
    for name in ('test', 'vald')
]
