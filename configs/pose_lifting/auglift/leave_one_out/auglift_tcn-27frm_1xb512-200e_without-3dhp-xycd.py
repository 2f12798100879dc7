_base_ = [
    '../../../_base_/lifting_runtime.py',
    '../../../_base_/datasets/lifting_without_mpi_inf_3dhp.py',
    '../../../_base_/models/lifting_tcn_auglift.py',
    '../../../_base_/schedules/lifting_auglift_tcn_200e.py',
]

train_dataloader = dict(batch_size=512)
