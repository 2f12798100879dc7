# Pavllo et al., CVPR 2019.
_base_ = [
    '../../../_base_/lifting_runtime.py',
    '../../../_base_/datasets/lifting_h36m.py',
    '../../../_base_/models/lifting_tcn.py',
    '../../../_base_/schedules/lifting_80e.py',
]

model = dict(
    codec=dict(use_confidence=False, use_depth=False),
    backbone=dict(kernel_sizes=(3, 3, 3, 3, 3)))
train_dataloader = dict(batch_size=1024, dataset=dict(seq_len=243, with_depth=False))
val_dataloader = dict(dataset=dict(seq_len=243, with_depth=False))
test_dataloader = [
    dict(loader, dataset=dict(loader.dataset, seq_len=243, with_depth=False)) for loader in _base_.test_dataloader
]
