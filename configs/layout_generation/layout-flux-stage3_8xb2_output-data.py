# Feedback alone, 10,000 steps; everything else, LoRA included, is active as stage 2 left it.
_base_ = ['./layout-flux-stage1_8xb2_output-data.py']

model = dict(stage=3, backbone=dict(parts=('layout', 'modulation', 'feedback')), identity_weight=10.0)
train_cfg = dict(max_iters=10000)
optim_wrapper = dict(optimizer=dict(lr=1e-5))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=500),
    dict(type='CosineAnnealingLR', eta_min=0, by_epoch=False, begin=500, end=10000, T_max=9500)]
