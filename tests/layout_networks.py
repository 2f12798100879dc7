"""Networks of layout generation small enough for a second, and references for them."""

from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motionlab.models.backbones.layout_flux import LayoutFlux

CLIP_DIM, DINO_DIM = 12, 20
GRID = (6, 8)
CONFIG = dict(in_channels=8, num_layers=3, num_single_layers=2, attention_head_dim=16, num_attention_heads=2,
              joint_attention_dim=10, pooled_projection_dim=6, guidance_embeds=False, axes_dims_rope=(4, 6, 6))
LORA = dict(rank=4, alpha=4)


def small_net(seed: int = 0, awake: bool = False, config: dict | None = None, **options) -> LayoutFlux:
    """A LayoutFlux of width 32; ``awake``: weights that start at zero are random, so that all have an effect."""
    for package in ('diffusers', 'peft'):
        pytest.importorskip(package)
    torch.manual_seed(seed)
    options = dict(flux=dict(config=CONFIG | (config or {}), random_base=True), in_channels=8, clip_dim=CLIP_DIM,
                   dino_dim=DINO_DIM, lora=LORA) | options
    net = LayoutFlux(**options)
    if awake:
        wake(net)
    return net


def wake(net: nn.Module) -> None:
    """Give parameters that are all zero random values."""
    with torch.no_grad():
        for parameter in net.parameters():
            if not parameter.any():
                parameter.normal_(std=0.05)


def make_refs(counts: Sequence[int] = (3, 0, 1), slots: int | None = None, seed: int = 0) -> dict[str, Tensor]:
    """References with that many valid ones per sample, in random places of ``slots`` columns, boxes overlapping."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(counts), slots or max(1, *counts))
    corners = torch.rand(*shape, 2, 2, generator=generator).sort(dim=2).values             # (B, N, 2, 2)
    rank = torch.rand(shape, generator=generator).argsort(1)
    return dict(
        boxes=corners.flatten(2), depth=torch.randint(3, shape, generator=generator),
        clip=F.normalize(torch.randn(*shape, CLIP_DIM, generator=generator), dim=-1),
        dino=F.normalize(torch.randn(*shape, DINO_DIM, generator=generator), dim=-1),
        ref_mask=rank < torch.tensor(counts)[:, None])


def make_inputs(batch: int = 3, grid: tuple[int, int] = GRID, seed: int = 0) -> dict:
    """Everything else that a forward takes."""
    generator = torch.Generator().manual_seed(seed)
    return dict(x=torch.randn(batch, grid[0] * grid[1], 8, generator=generator),
                timestep=torch.rand(batch, generator=generator), text=torch.randn(batch, 5, 10, generator=generator),
                pooled=torch.randn(batch, 6, generator=generator), grid=grid)


def run(net: LayoutFlux, refs: dict[str, Tensor] | None, inputs: dict | None = None, **options):
    """Velocities of a net; ``refs`` None: without references."""
    inputs = make_inputs() if inputs is None else inputs
    condition = None if refs is None else net.prepare(refs, inputs['grid'])
    return net(**inputs, condition=condition, **options)
