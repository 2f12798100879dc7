# As lifting_mocap, judged on every eighth frame: an eighth of the time, and hardly another number. Neighbouring frames
# are not both there, so MPJVE is left out.
_base_ = ['./lifting_mocap.py']

train_dataloader = dict(batch_size=256)
val_dataloader = dict(dataset=dict(sample_stride=8))
test_dataloader = [dict(loader, dataset=dict(loader.dataset, sample_stride=8)) for loader in _base_.test_dataloader]
