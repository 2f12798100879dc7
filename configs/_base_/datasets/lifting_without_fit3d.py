# As lifting_joint, with fit3d left out of training and validation: its test set shows the transfer.
_base_ = ['./lifting_joint.py']

train_dataloader = dict(
    sampler=dict(ratios=[1, 1, 1]),
    dataset=dict(datasets=[
        each for each in _base_.train_dataloader.dataset.datasets if each.dataset_name != 'fit3d'
    ]))
val_dataloader = dict(
    dataset=dict(datasets=[
        each for each in _base_.val_dataloader.dataset.datasets if each.dataset_name != 'fit3d'
    ]))
