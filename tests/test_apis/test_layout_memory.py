"""The memory that training of layout generation needs, estimated before anything is loaded."""

import io

import pytest
import torch
from mmengine.config import Config
from rich.console import Console
from torch import nn

from motionlab.apis import layout_memory as api
from motionlab.models.layout_stages import STAGE_PARTS
from motionlab.registry import BACKBONES
from motionlab.utils import ConfigError

pytest.importorskip('peft')
WIDE = dict(patch_size=1, in_channels=64, num_layers=4, num_single_layers=3, attention_head_dim=16,
            num_attention_heads=12, joint_attention_dim=64, pooled_projection_dim=16, guidance_embeds=True,
            axes_dims_rope=(4, 6, 6))
TOKENS = (16, 16, 32)


def make_config(stage: int = 2, flux: dict | None = None, codec: dict | None = None, wrapper: str = 'OptimWrapper',
                **model) -> Config:
    backbone = dict(type='LayoutFlux', flux=flux or dict(config=WIDE, random_base=True), lora=dict(rank=8, alpha=8),
                    clip_dim=64, dino_dim=128, parts=STAGE_PARTS[stage])
    return Config(dict(model=dict(type='LayoutDiffuser', stage=stage, codec=codec or dict(type='LayoutCodec'),
                                  backbone=backbone, **model),
                       train_dataloader=dict(batch_size=3), optim_wrapper=dict(type=wrapper)))


@pytest.mark.parametrize(('stage', 'wrapper'), [(1, 'OptimWrapper'), (2, 'AutocastOptimWrapper'), (3, 'OptimWrapper')])
def test_a_narrow_network_tells_what_a_wide_one_keeps(stage, wrapper):
    cfg = make_config(stage, wrapper=wrapper)
    cfg.model.backbone.base_dtype = 'bfloat16' if wrapper.startswith('Autocast') else 'float32'
    found = api.estimate_training_memory(cfg, tokens=TOKENS, references=6)
    autocast = wrapper.startswith('Autocast')
    nets = [BACKBONES.build({**cfg.model.backbone, 'gradient_checkpointing': again}) for again in (False, True)]
    kept, checkpointed = (3 * api.kept_of_image(net, stage, autocast, TOKENS, 6) for net in nets)
    if autocast:  # Not all copies of weights are kept.
        assert 0.95 * (kept - 3 * found.copies) < found.activations < 1.05 * kept
    else:
        assert found.activations == pytest.approx(kept, rel=0.1) and found.copies == 0
    # With checkpointing one block's activations come on top of what stands between blocks.
    assert checkpointed < found.checkpointed < checkpointed + 0.4 * kept
    assert found.checkpointed < 0.6 * found.activations


def test_the_full_size_is_counted_without_being_made():
    codec = dict(type='LayoutCodec', image=dict(type='FluxAutoencoder'))
    cfg = make_config(1, flux=dict(path='not/there'), codec=codec, wrapper='AutocastOptimWrapper')
    cfg.model.backbone.update(base_dtype='bfloat16', lora=dict(rank=128, alpha=128), clip_dim=512, dino_dim=1024,
                              gradient_checkpointing=True)
    one = api.estimate_training_memory(cfg)
    assert one.base_parameters == 11_901_408_320 and one.base == 2 * one.base_parameters
    assert one.trained == 4 * one.trained_parameters == one.gradients and one.optimizer == 2 * one.trained
    assert one.trained_parameters > 134_479_872  # LoRA of rank 128, and the heads.
    assert one.gathered == one.encoders == one.identity == 0
    assert 30 * api.GIB < one.total(True) < 55 * api.GIB < one.total(False) < 120 * api.GIB
    assert one.checkpointing and '1 x 3 images of 64 x 64 tokens' in one.batch

    cfg.shard_frozen = ['backbone.flux']
    eight = api.estimate_training_memory(cfg, 8)
    assert eight.base == one.base // 8 and 0 < eight.gathered < one.base // 8
    assert eight.gradients == 2 * one.gradients  # What is sent is a copy.
    assert (eight.activations, eight.optimizer) == (one.activations, one.optimizer)


def test_the_identity_loss_decodes():
    cfg = make_config(2, codec=dict(type='LayoutCodec', image=dict(type='FluxAutoencoder', dtype='bfloat16'),
                                    references=dict(type='ClipDinoReferences')), identity_weight=10.0)
    cfg.train_dataloader.batch_size = 1
    image = api.estimate_training_memory(cfg, tokens=(16, 16, 8), references=2)
    assert image.encoders == 2 * 83_819_683 + 4 * 304_368_640  # FLUX's autoencoder and DINOv2 ViT-L/14.
    cfg.model.identity_decode = 'boxes'
    boxes = api.estimate_training_memory(cfg, tokens=(16, 16, 8), references=2)
    assert boxes.identity < image.identity
    cfg.model.identity_weight = 0.0
    assert api.estimate_training_memory(cfg, tokens=(16, 16, 8)).encoders == 0


def test_tables_name_what_the_config_does():
    found = api.estimate_training_memory(make_config(), tokens=(4, 4, 4), references=1)
    console = Console(width=200, file=io.StringIO())
    console.print(api.memory_table(found))
    text = console.file.getvalue()
    for part in ('weights that are not trained', 'AdamW', 'without checkpointing (this config)', 'with checkpointing'):
        assert part in text


def test_weights_are_not_counted_as_kept():
    net = nn.Linear(10, 10)
    x = torch.randn(7, 10)
    assert api.kept_by_autograd(net, lambda: net(x)) == x.nbytes
    assert api.kept_by_autograd(net, lambda: net(x.requires_grad_()).exp()) == x.nbytes + 7 * 10 * 4
    with torch.device('meta'):
        assert api.kept_by_autograd(net, lambda: torch.ones(5, requires_grad=True).exp()) == 20


def test_errors():
    with pytest.raises(ConfigError, match=r"expected 'LayoutDiffuser'"):
        api.estimate_training_memory(Config(dict(model=dict(type='PoseLifter'))))
    with pytest.raises(ConfigError, match=r'found no base in not/there.*train_stage\.sh 0'):
        api.estimate_training_memory(make_config(flux=dict(path='not/there')))
