# Adapters: the optimiser of the base, fewer epochs.
_base_ = ['./primal_30000e.py']

train_cfg = dict(max_epochs=1000, val_interval=50)
custom_hooks = [dict(type='EMAHook', decay=0.999, begin_ratio=0.05), dict(type='FrozenBaseHook')]
