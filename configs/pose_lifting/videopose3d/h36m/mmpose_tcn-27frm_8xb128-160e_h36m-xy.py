# VideoPose3D as mmpose trains it.
_base_ = [
    '../../../_base_/lifting_runtime.py',
    '../../../_base_/datasets/lifting_h36m.py',
    '../../../_base_/models/lifting_tcn.py',
    '../../../_base_/schedules/lifting_mmpose_tcn_160e.py',
]

model = dict(codec=dict(use_confidence=False, use_depth=False), test_flip=False)
train_dataloader = dict(batch_size=128, dataset=dict(with_depth=False))
val_dataloader = dict(dataset=dict(with_depth=False))
test_dataloader = [
    dict(loader, dataset=dict(loader.dataset, with_depth=False)) for loader in _base_.test_dataloader
]
