# The published sizes (P1_D12: 3.3 M parameters, tahahah/Sana-fork at its last revision): three past frames of 256 px
# in latents of TAESD, merged by convolutions over time, bare one-hot actions, noise levels from the table of 1000. Give
# the weights of TAESD: --cfg-options model.codec.path=FOLDER, and make latents once: tools/cache_latents.py CONFIG.
model = dict(
    type='FramePredictor',
    data_preprocessor=dict(type='BatchPreprocessor'),
    codec=dict(type='TinyAutoencoder', path=None),
    backbone=dict(
        type='FrameDiT',
        num_history=3,
        history='conv3d',
        history_channels=12,
        norm='batch',
        obs_residual=True,
        embed_dim=128,
        depth=12,
        linear_head_dim=32,
        num_cross_heads=16,
        mlp_ratio=2.5,
        patch_size=1,
        action_embed='onehot'),
    head=dict(type='FlowMatchingHead', shift=1.0, density='logit_normal', discrete=True, num_steps=20, solver='dpm++'),
    action_dropout=0.1,
    context_noise=0.0)
