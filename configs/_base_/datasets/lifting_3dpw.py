# As lifting_h36m, trained on 3dpw and validated on its test set.
_base_ = ['./lifting_h36m.py']

train_dataloader = dict(dataset=dict(ann_file='3dpw/train.npz', dataset_name='3dpw'))
val_dataloader = dict(dataset=dict(ann_file='3dpw/test.npz', dataset_name='3dpw'))
