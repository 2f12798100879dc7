# Zheng et al., ICCV 2021.
_base_ = [
    '../../../_base_/lifting_runtime.py',
    '../../../_base_/datasets/lifting_h36m.py',
    '../../../_base_/models/lifting_poseformer.py',
    '../../../_base_/schedules/lifting_poseformer_200e.py',
]

model = dict(
    codec=dict(use_confidence=False, use_depth=False),
    backbone=dict(norm='pre', num_frames=81),
    head=dict(norm=True))
train_dataloader = dict(batch_size=512, dataset=dict(seq_len=81, with_depth=False))
val_dataloader = dict(dataset=dict(seq_len=81, with_depth=False))
test_dataloader = [
    dict(loader, dataset=dict(loader.dataset, seq_len=81, with_depth=False)) for loader in _base_.test_dataloader
]
