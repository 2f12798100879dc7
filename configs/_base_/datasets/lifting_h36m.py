# Human3.6M: trained on S1, S5, S6, S7, S8, judged on S9, S11 and on three other data sets.
# tools/dataset_converters/{h36m,mpi_inf_3dhp,pw3d,fit3d}_to_lifting.py write these files.
_base_ = ['./lifting.py']

train_dataloader = dict(dataset=dict(ann_file='h36m/train.npz', dataset_name='h36m'))
val_dataloader = dict(dataset=dict(ann_file='h36m/test.npz', dataset_name='h36m'))
test_dataloader = [
    dict(_base_.val_dataloader, persistent_workers=False,
         dataset=dict(_base_.val_dataloader.dataset, ann_file=f'{name}/{split}.npz', dataset_name=name))
    for name, split in (('h36m', 'test'), ('mpi_inf_3dhp', 'test'), ('3dpw', 'test'),
                        ('fit3d', 'val'))  # Fit3D publishes no test truth.
]

# Joints that a data set lacks (the nose of 3DPW) are hidden and must not take part in the alignment.
val_evaluator = dict(align_over='visible')
test_evaluator = dict(align_over='visible')
