# Identity, 150,000 steps: modulation joins what stage 1 trains, and so does the identity loss.
_base_ = ['./layout-flux-stage1_8xb2_output-data.py']

model = dict(stage=2, backbone=dict(parts=('layout', 'modulation')), identity_weight=10.0)
train_cfg = dict(max_iters=150000)
optim_wrapper = dict(optimizer=dict(lr=5e-6))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=2000),
    dict(type='CosineAnnealingLR', eta_min=0, by_epoch=False, begin=2000, end=150000, T_max=148000)]
