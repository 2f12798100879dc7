"""How much memory a stage of layout generation needs on each device, before anything large is loaded.

Weights are counted on the ``meta`` device. Activations are measured: what autograd keeps is proportional to the width
of the network and to the tokens of a batch, and adds up over blocks, so a network of the same build, but narrow and of
two or three blocks, is run on few tokens, and its numbers are scaled up.
"""

import json
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine import Config
from rich.table import Table
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from motionlab.codecs import layout_batch as keys
from motionlab.models.layout_stages import BASE, is_trained
from motionlab.registry import BACKBONES
from motionlab.utils import ConfigError

GIB = 2 ** 30
LARGE, TINY = (64, 64, 512), (8, 8, 8)  # Rows and columns of image tokens, text tokens: 1024 px; the embedded scenes.
_NARROW = dict(num_attention_heads=6, attention_head_dim=16, axes_dims_rope=(4, 6, 6), joint_attention_dim=64,
               pooled_projection_dim=16)
_WIDTH = 96            # Of the narrow network: FLUX.1's LoRA of rank 128 becomes one of rank 4.
_FEW = 4               # The narrow network's picture is so many times lower and narrower.
_ADAM, _FLOAT32 = 2, 4  # Numbers that AdamW keeps for each weight; bytes.
_SIDE = 0.25           # Of a box, in sides of the picture.


@dataclass(frozen=True)
class LayoutMemory:
    """Bytes on one device, and the numbers behind them.

    Attributes:
        base_parameters: Weights of FLUX.
        trained_parameters: Weights that the stage trains.
        base: Bytes of the weights that are not trained, as far as they stay on a device.
        gathered: Of weights that are gathered while blocks run, where they are shared out.
        trained: Of the trained weights.
        gradients: Of their gradients, with the copies that are sent between processes.
        optimizer: Of AdamW's averages.
        activations: What autograd keeps of a batch for the backward pass.
        checkpointed: The same with gradient checkpointing.
        checkpointing: Whether the config asks for it.
        batch: What it is for, in words.
    """

    base_parameters: int
    trained_parameters: int
    base: int
    gathered: int
    trained: int
    gradients: int
    optimizer: int
    activations: int
    checkpointed: int
    checkpointing: bool
    batch: str

    def total(self, checkpointing: bool) -> int:
        """Bytes in all, with or without gradient checkpointing."""
        fixed = self.base + self.gathered + self.trained + self.gradients + self.optimizer
        return fixed + (self.checkpointed if checkpointing else self.activations)


def estimate_training_memory(cfg: Config, processes: int = 1, tokens: tuple[int, int, int] | None = None,
                             references: int = 10) -> LayoutMemory:
    """What training needs on each device.

    Not in it are the frozen encoders and what the identity loss decodes, gradients of activations on their way, the
    allocator's fragments, and the device's own context.

    Args:
        cfg: Of a run with a :class:`motionlab.models.LayoutDiffuser`.
        processes: That train together, one on each device.
        tokens: Rows and columns of image tokens, and text tokens; default ``LARGE``, or ``TINY`` with the tiny codec.
        references: Of an image, each in a box of a quarter of its sides.

    Raises:
        ConfigError: the model is another one.
    """
    model = cfg.model
    if model.get('type') != 'LayoutDiffuser':
        raise ConfigError(f"model.type: found {model.get('type')!r}, expected 'LayoutDiffuser'.")
    if tokens is None:
        tokens = TINY if model.codec.get('image', {}).get('type', 'DctImageCodec') == 'DctImageCodec' else LARGE
    stage, batch_size = model.get('stage', 1), cfg.train_dataloader.batch_size
    backbone = _with_random_base(model.backbone)
    with torch.device('meta'):
        net = BACKBONES.build(dict(backbone))
    trained = [parameter for name, parameter in net.named_parameters() if is_trained(name, stage)]
    kept = [parameter for name, parameter in net.named_parameters() if not is_trained(name, stage)]
    base, gathered = sum(map(_bytes, kept)), 0
    if cfg.get('shard_frozen') and processes > 1:
        blocks = [sum(_bytes(parameter) for name, parameter in block.named_parameters() if not _has_lora(name))
                  for block in (*net.flux.transformer_blocks, *net.flux.single_transformer_blocks)]
        base, gathered = base // processes, 2 * max(blocks)  # One at work, the next on its way.
    weights = sum(map(_bytes, trained))
    autocast = 'Autocast' in cfg.optim_wrapper.get('type', '') or 'Amp' in cfg.optim_wrapper.get('type', '')
    plain, few = (_activations(backbone, net.flux.config, stage, autocast, tokens, references, checkpointing)
                  for checkpointing in (False, True))
    return LayoutMemory(
        base_parameters=_count(parameter for name, parameter in net.named_parameters()
                               if name.startswith('flux.') and not _has_lora(name)),
        trained_parameters=_count(trained), base=base, gathered=gathered, trained=weights,
        gradients=weights * (2 if processes > 1 else 1), optimizer=_ADAM * _FLOAT32 * _count(trained),
        activations=batch_size * plain, checkpointed=batch_size * few,
        checkpointing=bool(backbone.get('gradient_checkpointing')),
        batch=f'stage {stage}, {processes} x {batch_size} images of {tokens[0]} x {tokens[1]} tokens, {tokens[2]} of '
              f'text, {references} references')


def memory_table(memory: LayoutMemory) -> Table:
    """A table of GiB on one device."""
    table = Table(title=f'Memory on each device (GiB): {memory.batch}')
    for column in ('', 'GiB', 'of'):
        table.add_column(column, justify='right' if column == 'GiB' else 'left')
    millions = f'{memory.trained_parameters / 1e6:,.1f} M weights'
    rows = [('weights that are not trained', memory.base, f'FLUX: {memory.base_parameters / 1e6:,.1f} M weights')]
    if memory.gathered:
        rows.append(('gathered from other devices', memory.gathered, 'two blocks at a time'))
    rows += [('trained weights', memory.trained, millions), ('their gradients', memory.gradients, ''),
             ('AdamW', memory.optimizer, ''), ('activations', memory.activations, 'without checkpointing'),
             ('activations', memory.checkpointed, 'with checkpointing')]
    for checkpointing in (False, True):
        chosen = ' (this config)' if checkpointing == memory.checkpointing else ''
        rows.append(('total', memory.total(checkpointing), f'{"with" if checkpointing else "without"} checkpointing'
                     + chosen))
    for title, size, note in rows:
        table.add_row(title, f'{size / GIB:.2f}', note)
    return table


def _with_random_base(backbone: Mapping[str, Any]) -> dict[str, Any]:
    """The config of the network without the weights of its base; one that is not there yet counts as FLUX.1-dev."""
    flux = backbone['flux']
    if 'path' not in flux:
        config = flux['config']
    else:
        files = [Path(flux['path'], *parts) for parts in (('transformer', 'config.json'), ('config.json',))]
        found = [file for file in files if file.is_file()]
        config = json.loads(found[0].read_text(encoding='utf-8')) if found else dict(guidance_embeds=True)
    return {**backbone, 'flux': dict(config=dict(config), random_base=True)}


def _activations(backbone: Mapping[str, Any], flux: Mapping[str, Any], stage: int, autocast: bool,
                 tokens: tuple[int, int, int], references: int, checkpointing: bool) -> int:
    """Bytes that autograd keeps of one image."""
    width = flux['num_attention_heads'] * flux['attention_head_dim']
    few = (max(1, tokens[0] // _FEW), max(1, tokens[1] // _FEW), max(1, tokens[2] // _FEW ** 2))
    scale = width / _WIDTH * tokens[0] * tokens[1] / (few[0] * few[1])
    narrow = {**backbone, 'layout_blocks': 'all', 'gradient_checkpointing': False}
    if backbone.get('lora'):
        rank = max(1, round(backbone['lora'].get('rank', 128) * _WIDTH / width))
        narrow['lora'] = {**backbone['lora'], 'rank': rank}
    config = {key: value for key, value in flux.items() if not key.startswith('_')} | _NARROW

    def kept(double: int, single: int, checkpointed: bool) -> int:
        sized = {'flux': dict(config=config | dict(num_layers=double, num_single_layers=single), random_base=True),
                 'gradient_checkpointing': checkpointed}
        return _kept_by_autograd({**narrow, **sized}, stage, autocast, few, references)

    def parts(checkpointed: bool) -> tuple[int, int, int]:
        """Of a double-stream block, of a single-stream one, and of the rest."""
        least, double, single = (kept(*sizes, checkpointed) for sizes in ((2, 1), (3, 1), (2, 2)))
        return double - least, single - least, least - 2 * (double - least) - (single - least)

    double, single, rest = parts(False)
    again = 0
    if checkpointing:  # Besides what stands between blocks, one block's at a time, made again.
        again = max(double, single)
        double, single, rest = parts(True)
    return round(scale * (flux['num_layers'] * double + flux['num_single_layers'] * single + max(rest, 0) + again))


def _kept_by_autograd(backbone: Mapping[str, Any], stage: int, autocast: bool, tokens: tuple[int, int, int],
                      references: int) -> int:
    """Bytes of the tensors that a forward pass of one image keeps, without the weights."""
    with torch.random.fork_rng(devices=[]):
        net = BACKBONES.build(dict(backbone))
        for name, parameter in net.named_parameters():
            parameter.requires_grad_(is_trained(name, stage))
        rows, columns, length = tokens
        start = torch.rand(1, references, 2) * (1 - _SIDE)
        refs = {keys.BOXES: torch.cat([start, start + _SIDE], -1), keys.DEPTH: torch.zeros(1, references).long(),
                keys.CLIP: torch.randn(1, references, net.clip_dim),
                keys.DINO: torch.randn(1, references, net.dino_dim), keys.REF_MASK: torch.ones(1, references).bool()}
        flux = net.flux.config
        inputs = [torch.randn(1, rows * columns, net.in_channels), torch.rand(1),
                  torch.randn(1, length, flux.joint_attention_dim), torch.randn(1, flux.pooled_projection_dim)]
    weights = {parameter.untyped_storage().data_ptr() for parameter in net.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage
        return tensor

    precision = torch.autocast('cpu', torch.bfloat16) if autocast else nullcontext()
    with saved_tensors_hooks(keep, lambda tensor: tensor), precision:
        condition = None if stage == BASE else net.prepare(refs, (rows, columns))
        net(*inputs, condition=condition, grid=(rows, columns), guidance=3.5 if flux.guidance_embeds else None)
    return sum(storage.nbytes() for storage in kept.values())


def _count(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)


def _bytes(parameter: nn.Parameter) -> int:
    return parameter.numel() * parameter.element_size()


def _has_lora(name: str) -> bool:
    return '.lora_' in name
