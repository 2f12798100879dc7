# One frame instead of 27 (the SimpleBaseline), and twice the iterations.
_base_ = ['./auglift_tcn-27frm-ch256_1xb256-2k_bandai2-xycd.py']

model = dict(backbone=dict(kernel_sizes=(1, 1, 1)))
train_dataloader = dict(dataset=dict(seq_len=1))
val_dataloader = dict(dataset=dict(seq_len=1))
test_dataloader = [dict(loader, dataset=dict(loader.dataset, seq_len=1)) for loader in _base_.test_dataloader]

train_cfg = dict(max_iters=4000, val_interval=4000)
param_scheduler = [dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=0, end=4000, T_max=4000)]
