# As lifting_h36m, trained on fit3d and validated on its val set, which stands for a test set too.
_base_ = ['./lifting_h36m.py']

train_dataloader = dict(dataset=dict(ann_file='fit3d/train.npz', dataset_name='fit3d'))
val_dataloader = dict(dataset=dict(ann_file='fit3d/val.npz', dataset_name='fit3d'))
