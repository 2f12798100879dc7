# One frame in, one pose out: Martinez et al., ICCV 2017, as AugLift trains it.
_base_ = ['./auglift_tcn-27frm_1xb512-200e_h36m-xycd.py']

model = dict(backbone=dict(kernel_sizes=(1, 1, 1)))
train_dataloader = dict(dataset=dict(seq_len=1))
val_dataloader = dict(dataset=dict(seq_len=1))
test_dataloader = [dict(loader, dataset=dict(loader.dataset, seq_len=1)) for loader in _base_.test_dataloader]
