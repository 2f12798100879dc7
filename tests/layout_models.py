"""Models, batches and runs of layout generation small enough for a second."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch import Tensor, nn
from torch.utils.data import Dataset

from motionlab.codecs import layout_batch as keys
from motionlab.models import LayoutDiffuser
from motionlab.models.layout_stages import STAGE_PARTS
from motionlab.registry import DATASETS, MODELS
from tests.conftest import REPO
from tests.layout_networks import wake

CONFIGS = REPO / 'configs/layout_generation'
FLUX = dict(patch_size=1, in_channels=64, num_layers=2, num_single_layers=1, attention_head_dim=8,
            num_attention_heads=2, joint_attention_dim=32, pooled_projection_dim=4, guidance_embeds=False,
            axes_dims_rope=(2, 2, 4))


def model_config(stage: int = 1, *, flux: Mapping | None = None, backbone: Mapping | None = None,
                 head: Mapping | None = None, **model) -> dict:
    """A LayoutDiffuser of width 16 with the modules of a stage, on the tiny codec; no reference is dropped."""
    heads = dict(parts=STAGE_PARTS[stage], lora=dict(rank=2, alpha=2)) if stage else dict(
        parts=(), lora=None, save_base=True)
    return dict(
        type='LayoutDiffuser', stage=stage, codec=dict(type='LayoutCodec'),
        backbone=dict(type='LayoutFlux', flux=dict(config=FLUX | dict(flux or {}), random_base=True), clip_dim=64,
                      dino_dim=128) | heads | dict(backbone or {}),
        head=dict(type='FlowMatchingHead', num_steps=2) | dict(head or {}),
        **{'reference_dropout': 0.0, 'identity_weight': 1.0 if stage > 1 else 0.0, 'identity_min_px': 4.0} | model)


def make_model(stage: int = 1, seed: int = 0, *, awake: bool = True, **options) -> LayoutDiffuser:
    """The model of :func:`model_config`; ``awake``: weights that start at zero are random, so that all have an effect.
    """
    for package in ('diffusers', 'peft'):
        pytest.importorskip(package)
    torch.manual_seed(seed)
    model = MODELS.build(model_config(stage, **options))
    if awake:
        wake(model)
    return model


def make_batch(size: int = 2, *, num_refs: int = 3, side: int = 8, seed: int = 0, first: int = 0,
               images: bool = False) -> dict[str, Tensor]:
    """Random latents, references and captions; the last of each image's references is padding if there are several.

    Args:
        size: B.
        num_refs: N.
        side: h and w.
        seed: Of all numbers.
        first: The lowest ``sample_index``.
        images: With pictures of 4 px per latent position.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    start = 0.4 * torch.rand(size, num_refs, 2, generator=generator)
    extent = 0.3 + 0.3 * torch.rand(size, num_refs, 2, generator=generator)
    mask = torch.ones(size, num_refs, dtype=torch.bool)
    mask[:, 1:][:, -1:] = False
    batch = {keys.LATENTS: draw(size, 16, side, side), keys.BOXES: torch.cat([start, start + extent], -1),
             keys.DEPTH: torch.randint(3, (size, num_refs), generator=generator),
             keys.CLIP: nn.functional.normalize(draw(size, num_refs, 64), dim=-1),
             keys.DINO: nn.functional.normalize(draw(size, num_refs, 128), dim=-1), keys.REF_MASK: mask,
             keys.TEXT: draw(size, 8, 32), keys.POOLED: draw(size, 4),
             keys.IMAGE_SIZE: torch.full((size, 2), 4 * side), keys.SAMPLE_INDEX: torch.arange(size) + first}
    for key in (keys.BOXES, keys.DEPTH, keys.CLIP, keys.DINO):
        batch[key][~mask] = 0
    if images:
        batch[keys.IMAGES] = torch.randint(256, (size, 4 * side, 4 * side, 3), generator=generator).to(torch.uint8)
    return batch


@DATASETS.register_module(force=True)
class RandomLayouts(Dataset):
    """Samples of :func:`make_batch`, each from a seed of its own."""

    def __init__(self, size: int = 8, num_refs: int = 3, side: int = 8, images: bool = False):
        parts = [make_batch(1, num_refs=num_refs, side=side, seed=row, first=row, images=images) for row in range(size)]
        self.samples = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
        self.metainfo = dict(dataset_name='random_layouts')

    def __len__(self) -> int:
        return len(self.samples[keys.SAMPLE_INDEX])

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        index = torch.as_tensor(indices)
        return {key: value[index] for key, value in self.samples.items()}


def run_config(work_dir: str | Path, stage: int = 1, *, steps: int = 4, model: Mapping | None = None,
               batch_size: int = 2, accumulate: int = 1, hooks: tuple[dict, ...] = (), images: bool = False,
               **changes) -> Config:
    """A run on :class:`RandomLayouts`; ``steps`` are those of the optimizer."""
    def loader(shuffle: bool) -> dict:
        return dict(dataset=dict(type='RandomLayouts', images=images), batch_size=batch_size, num_workers=0,
                    sampler=dict(type='ResumableSampler', shuffle=shuffle), collate_fn=dict(type='batch_collate'))

    return Config(dict(
        work_dir=str(work_dir), default_scope='motionlab', log_level='ERROR',
        model=model_config(stage, **(model or {})),
        train_dataloader=loader(True),
        train_cfg=dict(type='IterLoop', max_iters=steps, val_interval=100, optimizer_steps=True),
        optim_wrapper=dict(type='OptimWrapper', accumulative_counts=accumulate, clip_grad=dict(max_norm=1.0),
                           optimizer=dict(type='AdamW', lr=1e-3)),
        param_scheduler=[dict(type='LinearLR', start_factor=0.5, begin=0, end=2, by_epoch=False)],
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1),
                           checkpoint=dict(type='CheckpointHook', interval=2)),
        custom_hooks=list(hooks), randomness=dict(seed=3), **changes))
