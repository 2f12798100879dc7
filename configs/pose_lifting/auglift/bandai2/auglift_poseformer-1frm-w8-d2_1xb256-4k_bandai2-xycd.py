# One frame instead of 27, larger batches and more iterations.
_base_ = ['./auglift_poseformer-27frm-w8-d2_1xb32-3k_bandai2-xycd.py']

model = dict(backbone=dict(num_frames=1))
train_dataloader = dict(batch_size=256, dataset=dict(seq_len=1))
val_dataloader = dict(dataset=dict(seq_len=1))
test_dataloader = [dict(loader, dataset=dict(loader.dataset, seq_len=1)) for loader in _base_.test_dataloader]

optim_wrapper = dict(optimizer=dict(lr=2e-3))
train_cfg = dict(max_iters=4000, val_interval=4000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=50, end=4000, T_max=3950)]
auto_scale_lr = dict(base_batch_size=256)
