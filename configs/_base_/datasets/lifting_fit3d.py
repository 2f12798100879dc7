# As lifting_h36m, trained on fit3d and validated on its test set.
_base_ = ['./lifting_h36m.py']

train_dataloader = dict(dataset=dict(ann_file='fit3d/train.npz', dataset_name='fit3d'))
val_dataloader = dict(dataset=dict(ann_file='fit3d/test.npz', dataset_name='fit3d'))
