# The published sizes at 512 px in latents of DC-AE (32 x 16 x 16), as the seed of the project asked for, in the form
# that works: all four past latents beside the noisy one, actions with order, exact times, context noise. Give the
# weights: --cfg-options model.codec.path=FILE_OR_FOLDER; model.codec.variant says which they are.
_base_ = ['./sana-p1-d12_1xb10-100e_pacman256-taesd.py']

model = dict(
    codec=dict(_delete_=True, type='DeepCompressionAutoencoder', path=None, variant='in-1.0'),
    backbone=dict(
        _delete_=True, type='FrameDiT', num_history=4, history='concat', embed_dim=128, depth=12, linear_head_dim=32,
        num_cross_heads=16, action_embed='slots', num_context_levels=10),
    head=dict(discrete=False),
    context_noise=0.7)
train_dataloader = dict(batch_size=2, dataset=dict(ann_file='frames512', num_history=4))
val_dataloader = dict(batch_size=2, dataset=dict(ann_file='frames512', num_history=4))
test_dataloader = dict(batch_size=2, dataset=dict(ann_file='frames512', num_history=4))
auto_scale_lr = dict(base_batch_size=2)
