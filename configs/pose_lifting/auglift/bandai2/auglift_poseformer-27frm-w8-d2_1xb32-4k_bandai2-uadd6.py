_base_ = ['./auglift_poseformer-27frm-w8-d2_1xb32-4k_bandai2-xycd.py']

model = dict(codec=dict(depth_stats='range'))
train_dataloader = dict(dataset=dict(depth_stats='range'))
val_dataloader = dict(dataset=dict(depth_stats='range'))
test_dataloader = [dict(loader, dataset=dict(loader.dataset, depth_stats='range')) for loader in _base_.test_dataloader]
