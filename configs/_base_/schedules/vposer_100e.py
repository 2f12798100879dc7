# V02_05: Adam with L2 weight decay, learning rate / 10 after 5 epochs without progress, an end after 10.
train_cfg = dict(type='EpochLoop', max_epochs=100, val_interval=1)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3, weight_decay=1e-5))
param_scheduler = [
    dict(type='ReduceOnPlateauLR', monitor='v2v_sampled', rule='less', factor=0.1, patience=5, threshold=1e-4)]
auto_scale_lr = dict(enable=False, base_batch_size=128)
custom_hooks = [dict(type='EarlyStoppingHook', monitor='v2v_sampled', rule='less', patience=10)]
