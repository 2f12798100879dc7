# Real and procedural motion in equal shares of every batch; judged on both and on sets never trained on.
_base_ = ['./lifting_mocap_stride8.py']

train_dataloader = dict(
    sampler=dict(_delete_=True, type='BalancedSampler', ratios=[1, 1]),
    dataset=dict(
        _delete_=True,
        type='CombinedDataset',
        datasets=[
            dict(
                type='PoseLiftingDataset',
                data_root='data/lifting/',
                ann_file=f'{name}/train.npz',
                dataset_name=name,
                seq_len=27) for name in ('bandai2', 'procedural')
        ]))
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='CombinedDataset',
        datasets=[
            dict(_base_.val_dataloader.dataset, ann_file=f'{name}/val.npz', dataset_name=name)
            for name in ('bandai2', 'procedural')
        ]))
test_dataloader = [
    dict(_base_.test_dataloader[0],
         dataset=dict(_base_.test_dataloader[0].dataset, ann_file=f'{name}/test.npz', dataset_name=name))
    for name in ('bandai2', 'procedural', 'bandai1', 'cmu', 'procedural_shifted')
]
