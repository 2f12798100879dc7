_base_ = ['./auglift_tcn-27frm_1xb512-200e_h36m-xycd.py']

model = dict(codec=dict(depth_stats='range'))
train_dataloader = dict(dataset=dict(depth_stats='range'))
val_dataloader = dict(dataset=dict(depth_stats='range'))
test_dataloader = [dict(loader, dataset=dict(loader.dataset, depth_stats='range')) for loader in _base_.test_dataloader]
