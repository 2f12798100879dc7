# A quarter of the sides and 8 channels, trained from scratch: in a predictor's codec,
# dict(type='ScratchAutoencoder', path=CHECKPOINT).
model = dict(
    type='FrameAutoencoder',
    data_preprocessor=dict(type='BatchPreprocessor'),
    codec=dict(type='SpaceToDepth', patch=1),
    backbone=dict(type='FrameAutoencoderNetwork', latent_channels=8, widths=(32, 64), num_blocks=1),
    head=dict(type='FrameReconstructionHead', bright_weight=9.0, bright_threshold=0.15, edge_weight=0.5),
    decoder_only=False)
