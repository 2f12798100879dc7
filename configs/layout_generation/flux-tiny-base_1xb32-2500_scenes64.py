# The base of the tiny stages, FLUX itself from scratch: captions with colours and textures, no references. About eight
# minutes of two CPU cores. tools/train_stage.py 0 trains it and writes it as diffusers does.
_base_ = [
    '../_base_/layout_generation_runtime.py',
    '../_base_/datasets/layout_scenes.py',
    '../_base_/models/layout_flux_tiny.py',
]

model = dict(
    stage=0,
    backbone=dict(
        flux=dict(_delete_=True, random_base=True, config=dict(
            patch_size=1, in_channels=64, num_layers=3, num_single_layers=1, attention_head_dim=24,
            num_attention_heads=4, joint_attention_dim=32, pooled_projection_dim=4, guidance_embeds=False,
            axes_dims_rope=(4, 10, 10))),
        parts=(),
        lora=None,
        save_base=True))
train_dataloader = dict(dataset=dict(captions='base'))
val_dataloader = dict(dataset=dict(captions='base'))
test_dataloader = dict(dataset=dict(captions='base'))

train_cfg = dict(max_iters=2500, val_interval=2500)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', eta_min=0, by_epoch=False, begin=100, end=2500, T_max=2400)]
