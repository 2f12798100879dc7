# The same, small enough for two CPU cores.
_base_ = ['./primal.py']

model = dict(
    codec=dict(body=dict(path='data/body_models/stand_in/SMPLX_NEUTRAL.npz')),
    backbone=dict(embed_dim=128, num_layers=4, num_heads=4, ffn_dim=512))
