# Four data sets in equal shares of every batch; validated on their test sets together, tested on each.
_base_ = ['./lifting_h36m.py']

train_dataloader = dict(
    sampler=dict(_delete_=True, type='BalancedSampler', ratios=[1, 1, 1, 1]),
    dataset=dict(
        _delete_=True,
        type='CombinedDataset',
        datasets=[
            dict(_base_.train_dataloader.dataset, ann_file=f'{name}/train.npz', dataset_name=name)
            for name in ('h36m', 'mpi_inf_3dhp', '3dpw', 'fit3d')
        ]))
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='CombinedDataset',
        datasets=[loader.dataset for loader in _base_.test_dataloader]))
