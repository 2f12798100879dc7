# FLUX.1-dev, frozen in bfloat16, with LoRA of rank 128 on queries, keys and values of all 57 attentions and heads in
# float32. Give the weights: --cfg-options model.backbone.flux.path=FOLDER model.codec.image.path=FOLDER
# model.codec.references.clip_path=FOLDER model.codec.references.dino_path=FOLDER.
# Alpha tends to one number for all references: alpha_prior=0.05 and backbone.layout_alpha_weight=0.5 keep it apart.
model = dict(
    type='LayoutDiffuser',
    data_preprocessor=dict(type='BatchPreprocessor'),
    codec=dict(
        type='LayoutCodec',
        image=dict(type='FluxAutoencoder', path='data/models/FLUX.1-dev/vae', dtype='bfloat16'),
        references=dict(type='ClipDinoReferences', clip_path='data/models/clip-vit-base-patch32',
                        dino_path='data/models/dinov2-large'),
        text=dict(type='FluxTextEncoders', clip_path='data/models/FLUX.1-dev/text_encoder',
                  t5_path='data/models/FLUX.1-dev/text_encoder_2')),
    backbone=dict(
        type='LayoutFlux',
        flux=dict(path='data/models/FLUX.1-dev'),
        lora=dict(rank=128, alpha=128, scope='always'),
        layout_alpha_weight=1.0,
        gradient_checkpointing=True,
        base_dtype='bfloat16'),
    head=dict(type='FlowMatchingHead', density='uniform', num_steps=28),
    guidance=3.5,
    reference_dropout=0.1,
    identity_t_max=0.6,
    identity_min_px=16)
