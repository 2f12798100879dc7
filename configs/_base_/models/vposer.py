# VPoser v2 as published; body: any SMPL-family file, which the distances in losses and metrics depend on.
model = dict(
    type='PosePrior',
    data_preprocessor=dict(type='BatchPreprocessor'),
    codec=dict(type='BodyPoseCodec'),
    backbone=dict(type='VPoser', version=2, latent_dim=32, num_neurons=512),
    head=dict(type='VariationalHead'),
    body=dict(type='BodyModel', path='data/body_models/smplx/SMPLX_NEUTRAL.npz'))
