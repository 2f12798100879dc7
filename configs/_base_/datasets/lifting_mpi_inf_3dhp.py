# As lifting_h36m, trained on mpi_inf_3dhp and validated on its test set.
_base_ = ['./lifting_h36m.py']

train_dataloader = dict(dataset=dict(ann_file='mpi_inf_3dhp/train.npz', dataset_name='mpi_inf_3dhp'))
val_dataloader = dict(dataset=dict(ann_file='mpi_inf_3dhp/test.npz', dataset_name='mpi_inf_3dhp'))
