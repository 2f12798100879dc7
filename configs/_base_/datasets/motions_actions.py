# Sequences of 16 frames with classes in data/primal_actions, from tools/dataset_converters/smpl_to_motions.py.
_base_ = ['./motions.py']

_root = 'data/primal_actions/'
train_dataloader = dict(batch_size=16, dataset=dict(data_root=_root))
val_dataloader = dict(dataset=dict(data_root=_root))
test_dataloader = [dict(_base_.val_dataloader, dataset=dict(_base_.val_dataloader.dataset, data_root=_root))]
