# True keypoints in place of detected ones.
_base_ = ['./poseformer_pre-81frm_1xb512-200e_h36m-xy.py']

optim_wrapper = dict(optimizer=dict(lr=4e-4))
train_dataloader = dict(dataset=dict(keypoints='ground_truth'))
val_dataloader = dict(dataset=dict(keypoints='ground_truth'))
test_dataloader = [
    dict(loader, dataset=dict(loader.dataset, keypoints='ground_truth')) for loader in _base_.test_dataloader
]
