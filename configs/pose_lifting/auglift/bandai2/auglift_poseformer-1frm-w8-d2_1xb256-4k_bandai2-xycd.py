# One frame instead of 27, and larger batches.
_base_ = ['./auglift_poseformer-27frm-w8-d2_1xb32-4k_bandai2-xycd.py']

model = dict(backbone=dict(num_frames=1))
train_dataloader = dict(batch_size=256, dataset=dict(seq_len=1))
val_dataloader = dict(dataset=dict(seq_len=1))
test_dataloader = [dict(loader, dataset=dict(loader.dataset, seq_len=1)) for loader in _base_.test_dataloader]
auto_scale_lr = dict(base_batch_size=256)
