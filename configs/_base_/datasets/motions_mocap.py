# Real motion capture in data/primal_mocap, from tools/dataset_converters/{mocap_to_amass,prepare_amass}.py (--splits
# mocap --selection motions --body FILE).
_base_ = ['./motions.py']

_root = 'data/primal_mocap/'
train_dataloader = dict(dataset=dict(data_root=_root))
val_dataloader = dict(dataset=dict(data_root=_root))
test_dataloader = [
    dict(_base_.val_dataloader, dataset=dict(_base_.val_dataloader.dataset, data_root=_root, ann_file=f'{name}.npz',
                                             dataset_name=name))
    for name in ('test', 'vald')
]
