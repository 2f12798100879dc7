# Real motion capture in data/vposer_mocap, from tools/dataset_converters/{mocap_to_amass,prepare_amass}.py.
_base_ = ['./body_poses.py']

_root = 'data/vposer_mocap/'
train_dataloader = dict(dataset=dict(data_root=_root))
val_dataloader = dict(dataset=dict(data_root=_root))
test_dataloader = [
    dict(_base_.val_dataloader, dataset=dict(_base_.val_dataloader.dataset, data_root=_root, ann_file=f'{name}.npz',
                                             dataset_name=name))
    for name in ('test', 'vald')
]
