# PRIMAL as published: 13.5 M parameters. Acceleration: codec.order=2, and nothing else. Body: the neutral SMPL-X of the
# release with 300 + 100 shape columns; its first 16 betas are used.
model = dict(
    type='MotionDiffuser',
    data_preprocessor=dict(type='BatchPreprocessor'),
    codec=dict(
        type='MotionEncoding',
        order=1,
        rotation='6d',
        metric=False,
        fps=30,
        block_normalisation=False,
        body=dict(type='BodyModel', path='data/body_models/smplx/SMPLX_NEUTRAL.npz')),
    backbone=dict(
        type='MotionDiT',
        embed_dim=256,
        num_layers=10,
        num_heads=8,
        ffn_dim=2048,
        dropout=0.1,
        activation='silu',
        conditioning='in_context',
        separate_condition_token=False,
        num_timesteps=50),
    head=dict(
        type='DiffusionHead',
        simple_weight=1.0,
        fk_weight=1.0,
        difference_weight=1.0,
        fk_norm='l2',
        difference_norm='l2'))
