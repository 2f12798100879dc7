_base_ = ['./auglift_poseformer-27frm_1xb256-130e_h36m-xycd.py']

model = dict(codec=dict(use_feature_maps=True))
train_dataloader = dict(dataset=dict(features=('image', 'depth')))
val_dataloader = dict(dataset=dict(features=('image', 'depth')))
test_dataloader = [
    dict(loader, dataset=dict(loader.dataset, features=('image', 'depth'))) for loader in _base_.test_dataloader
]
