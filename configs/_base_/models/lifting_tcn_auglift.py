# AugLift's own setting of the TCN: squared error over 16 joints (the root is left out), no mirroring.
_base_ = ['./lifting_tcn.py']

model = dict(
    codec=dict(remove_root=True),
    head=dict(loss=dict(_delete_=True, type='MSELoss')),
    flip_prob=0.0,
    test_flip=False)
