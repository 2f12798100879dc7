# Next frames by a Sana DiT on past latents, actions with order, context noise against drift. Frames themselves, 4 x 4
# pixels per position, are the latents: no weights are needed.
model = dict(
    type='FramePredictor',
    data_preprocessor=dict(type='BatchPreprocessor'),
    codec=dict(type='SpaceToDepth', patch=4, normalise=True),
    backbone=dict(
        type='FrameDiT',
        num_history=4,
        history='concat',
        embed_dim=96,
        depth=4,
        linear_head_dim=32,
        num_cross_heads=12,
        mlp_ratio=2.5,
        action_embed='slots',
        num_context_levels=10,
        y_norm_scale=1.0),  # At 0.01 as published nothing is learnt of the actions in as many iterations.
    # A sprite's place shows through all but the strongest noise: what decides where it goes is learnt near noise alone.
    head=dict(type='FlowMatchingHead', shift=20.0, density='logit_normal', num_steps=2, solver='euler'),
    action_dropout=0.1,
    # Latents here are pixels, exact and without texture: more noise than this hides the sprites (0.7 as published for
    # learned latents), and what is predicted is what changes.
    context_noise=0.15,
    predicts='change')
