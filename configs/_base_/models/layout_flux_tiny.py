# FLUX small enough for two CPU cores (1.2 M parameters), with the base that flux-tiny-base trains. Alpha has a prior
# and the layout path keeps half of its weight where alpha is 1: otherwise alpha becomes one number for all references.
model = dict(
    type='LayoutDiffuser',
    data_preprocessor=dict(type='BatchPreprocessor'),
    codec=dict(type='LayoutCodec'),
    backbone=dict(
        type='LayoutFlux',
        flux=dict(path='work_dirs/flux-tiny-base_1xb32-2500_scenes64/flux'),
        lora=dict(rank=32, alpha=32),
        layout_alpha_weight=0.5,
        modulation=dict(text=True, single_blocks=True)),  # Of image tokens in double blocks alone it brings a tenth.
    head=dict(type='FlowMatchingHead', density='logit_normal', num_steps=16),
    alpha_prior=0.05,
    alpha_targets=(0.9, 0.5, 0.1),
    reference_dropout=0.1,
    identity_t_max=1.0,  # Below 0.6, as published, noisy latents of 64 tokens give the objects away already.
    identity_min_px=8,
    eval_num_steps=16)
