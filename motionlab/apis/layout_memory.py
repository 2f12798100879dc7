"""How much memory a stage of layout generation needs on each device, before anything large is loaded.

Weights are counted on the ``meta`` device. Activations are measured: what autograd keeps is proportional to the width
of the network and to the tokens of a batch, and adds up over blocks, so a network of the same build, but narrow and of
two or three blocks, is run on few tokens, and its numbers are scaled up.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine import Config
from rich.table import Table
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef

from motionlab.codecs import layout_batch as keys
from motionlab.codecs.latent_packing import PATCH
from motionlab.models.backbones.layout_flux_base import DTYPES
from motionlab.models.layout_stages import BASE, is_trained
from motionlab.models.losses.identity_loss import MARGIN
from motionlab.registry import BACKBONES
from motionlab.utils import ConfigError, need_package

GIB = 2 ** 30
LARGE, TINY = (64, 64, 512), (8, 8, 8)  # Rows and columns of image tokens, text tokens: 1024 px; the embedded scenes.
_NARROW = dict(num_attention_heads=6, attention_head_dim=16, axes_dims_rope=(4, 6, 6), joint_attention_dim=64,
               pooled_projection_dim=16)
_WIDTH = 96            # Of the narrow network: FLUX.1's LoRA of rank 128 becomes one of rank 4.
_FEW = 8               # Rows and columns of image tokens that the narrow network is run on, and twice as many rows.
_ADAM, _FLOAT32 = 2, 4  # Numbers that AdamW keeps for each weight; bytes.
_SIDE = 0.25           # Of a box, in sides of the picture.
_AUTOENCODER = dict(  # FLUX.1's.
    in_channels=3, out_channels=3, latent_channels=16, layers_per_block=2, block_out_channels=(128, 256, 512, 512),
    down_block_types=('DownEncoderBlock2D',) * 4, up_block_types=('UpDecoderBlock2D',) * 4, use_quant_conv=False,
    use_post_quant_conv=False)
_DINO = dict(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, image_size=518, patch_size=14)  # ViT-L/14.


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
        copies: Of float32 weights in the precision that they compute in.
        encoders: Of the frozen networks of the identity loss.
        identity: What autograd keeps of them where every image and reference counts, the decoder's part made again.
        activations: What autograd keeps of the network for the backward pass of a batch.
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
    copies: int
    encoders: int
    identity: int
    activations: int
    checkpointed: int
    checkpointing: bool
    batch: str

    def total(self, checkpointing: bool) -> int:
        """Bytes in all, with or without gradient checkpointing."""
        fixed = self.base + self.gathered + self.trained + self.gradients + self.optimizer + self.copies
        return fixed + self.encoders + self.identity + (self.checkpointed if checkpointing else self.activations)


def estimate_training_memory(cfg: Config, processes: int = 1, tokens: tuple[int, int, int] | None = None,
                             references: int = 10) -> LayoutMemory:
    """What training needs on each device.

    Not in it are gradients of activations on their way, the allocator's fragments, and the device's own context; nor
    the encoders of images and captions, which prepared data does without.

    Args:
        cfg: Of a run with a :class:`motionlab.models.LayoutDiffuser`.
        processes: That train together, one on each device.
        tokens: Rows and columns of image tokens, and text tokens; default ``LARGE``, or ``TINY`` with the tiny codec.
        references: Of an image, each in a box of a quarter of its sides.

    Raises:
        ConfigError: the model is another one, or there is no base of which the size could be known.
    """
    model = cfg.model
    if model.get('type') != 'LayoutDiffuser':
        raise ConfigError(f"model.type: found {model.get('type')!r}, expected 'LayoutDiffuser'.")
    if tokens is None:
        tokens = TINY if (model.codec.get('image') or {}).get('type', 'DctImageCodec') == 'DctImageCodec' else LARGE
    stage, batch_size = model.get('stage', 1), cfg.train_dataloader.batch_size
    backbone = _with_random_base(model.backbone, tokens == LARGE)
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
    copies = sum(2 * parameter.numel() for parameter in net.parameters() if parameter.dtype == torch.float32)
    encoders, identity = _identity(model, tokens, batch_size, references)
    autocast = 'Autocast' in cfg.optim_wrapper.get('type', '') or 'Amp' in cfg.optim_wrapper.get('type', '')
    plain, few = (_activations(backbone, net.flux.config, stage, autocast, tokens, references, checkpointing)
                  for checkpointing in (False, True))
    return LayoutMemory(
        base_parameters=_count(parameter for name, parameter in net.named_parameters()
                               if name.startswith('flux.') and not _has_lora(name)),
        trained_parameters=_count(trained), base=base, gathered=gathered, trained=weights,
        gradients=weights * (2 if processes > 1 else 1), optimizer=_ADAM * _FLOAT32 * _count(trained),
        encoders=encoders, identity=identity,
        copies=copies if autocast else 0,
        activations=batch_size * plain, checkpointed=batch_size * few,
        checkpointing=bool(backbone.get('gradient_checkpointing')),
        batch=f'stage {stage}, {processes} x {batch_size} images of {tokens[0]} x {tokens[1]} tokens, {tokens[2]} of '
              f'text, {references} references')


def memory_table(memory: LayoutMemory) -> Table:
    """What one device needs, in GiB, or MiB where all is small."""
    unit, size_of = ('GiB', GIB) if memory.total(False) >= GIB else ('MiB', GIB >> 10)
    table = Table(title=f'Memory on each device: {memory.batch}')
    for column in ('', unit, 'of'):
        table.add_column(column, justify='right' if column == unit else 'left')
    millions = f'{memory.trained_parameters / 1e6:,.1f} M weights'
    rows = [('weights that are not trained', memory.base, f'FLUX: {memory.base_parameters / 1e6:,.1f} M weights')]
    if memory.gathered:
        rows.append(('gathered from other devices', memory.gathered, 'two blocks at a time'))
    rows += [('trained weights', memory.trained, millions), ('their gradients', memory.gradients, ''),
             ('AdamW', memory.optimizer, ''), ('weights in bfloat16', memory.copies, ''),
             ('activations', memory.activations, 'without checkpointing'),
             ('activations', memory.checkpointed, 'with checkpointing')]
    if memory.encoders:
        rows += [('autoencoder and DINO', memory.encoders, 'of the identity loss'),
                 ('what they keep', memory.identity, 'at most: every image has a noise level that counts')]
    for checkpointing in (False, True):
        chosen = ' (this config)' if checkpointing == memory.checkpointing else ''
        rows.append(('total', memory.total(checkpointing), f'{"with" if checkpointing else "without"} checkpointing'
                     + chosen))
    for title, size, note in rows:
        table.add_row(title, f'{size / size_of:.2f}', note)
    return table


def _with_random_base(backbone: Mapping[str, Any], large: bool) -> dict[str, Any]:
    """The config of the network without the weights of its base; a large one that is not there yet is FLUX.1-dev."""
    flux = backbone['flux']
    if 'path' not in flux:
        config = flux['config']
    else:
        config = _config_in(flux['path'], 'transformer') or (dict(guidance_embeds=True) if large else None)
        if config is None:
            raise ConfigError(f'backbone.flux.path: found no base in {flux["path"]}, expected one as diffusers writes '
                              'it. That of the tiny configs is trained by: bash tools/train_stage.sh 0')
    return {**backbone, 'flux': dict(config=dict(config), random_base=True)}


def _activations(backbone: Mapping[str, Any], flux: Mapping[str, Any], stage: int, autocast: bool,
                 tokens: tuple[int, int, int], references: int, checkpointing: bool) -> int:
    """Bytes that autograd keeps of one image, in proportion to its tokens."""
    width = flux['num_attention_heads'] * flux['attention_head_dim']
    few = (_FEW, _FEW, round(_FEW ** 2 * tokens[2] / (tokens[0] * tokens[1])))
    more = (2 * few[0], few[1], 2 * few[2])
    scale = width / _WIDTH * tokens[0] * tokens[1] / _FEW ** 2
    config = {key: value for key, value in flux.items() if not key.startswith('_')} | _NARROW
    narrow = {**backbone, 'layout_blocks': 'all'}
    if backbone.get('lora'):
        rank = max(1, round(backbone['lora'].get('rank', 128) * _WIDTH / width))
        narrow['lora'] = {**backbone['lora'], 'rank': rank}

    def kept(double: int, single: int, checkpointed: bool) -> int:
        """Of as many more tokens as there are few: what does not depend on tokens drops out."""
        sized = {'flux': dict(config=config | dict(num_layers=double, num_single_layers=single), random_base=True),
                 'gradient_checkpointing': checkpointed}
        with torch.random.fork_rng(devices=[]):
            net = BACKBONES.build({**narrow, **sized})
        return kept_of_image(net, stage, autocast, more, references) - kept_of_image(net, stage, autocast, few,
                                                                                    references)

    def parts(checkpointed: bool) -> tuple[int, int, int]:
        """Of a double-stream block, of a single-stream one, and of the rest."""
        least, double, single = (kept(*sizes, checkpointed) for sizes in ((2, 1), (3, 1), (2, 2)))
        return double - least, single - least, least - 2 * (double - least) - (single - least)

    double, single, rest = parts(False)
    again = 0
    if checkpointing:  # Besides what stands between blocks, one block's at a time, made again.
        again = max(double, single)
        double, single, rest = parts(True)
    return round(scale * (flux['num_layers'] * double + flux['num_single_layers'] * single + rest + again))


def kept_of_image(net: nn.Module, stage: int, autocast: bool, tokens: tuple[int, int, int], references: int) -> int:
    """Bytes that a forward pass of one image keeps, without the weights.

    Args:
        net: A :class:`motionlab.models.backbones.LayoutFlux` on the CPU.
        stage: Of which weights take gradients.
        autocast: Compute in bfloat16.
        tokens: Rows and columns of image tokens, and text tokens.
        references: Each in a box of a quarter of the image's sides.
    """
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(is_trained(name, stage))
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    start = draw(1, references, 2) * (1 - _SIDE)
    refs = {keys.BOXES: torch.cat([start, start + _SIDE], -1), keys.DEPTH: torch.zeros(1, references).long(),
            keys.CLIP: draw(1, references, net.clip_dim), keys.DINO: draw(1, references, net.dino_dim),
            keys.REF_MASK: torch.ones(1, references).bool()}
    grid, flux = tokens[:2], net.flux.config
    inputs = [draw(1, grid[0] * grid[1], net.in_channels), draw(1), draw(1, tokens[2], flux.joint_attention_dim),
              draw(1, flux.pooled_projection_dim)]

    def run() -> None:
        with torch.autocast('cpu', torch.bfloat16) if autocast else nullcontext():
            condition = None if stage == BASE else net.prepare(refs, grid)
            net(*inputs, condition=condition, grid=grid, guidance=3.5 if flux.guidance_embeds else None)

    return kept_by_autograd(net, run)


def kept_by_autograd(net: nn.Module, run: Callable[[], Any]) -> int:
    """Bytes of all tensors that ``run()`` has autograd keep, without the weights of ``net``; ``meta`` tensors count
    too."""
    weights = {StorageWeakRef(parameter.untyped_storage()).cdata for parameter in net.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        place = StorageWeakRef(storage).cdata
        if place not in weights:
            kept[place] = storage
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        run()
    return sum(storage.nbytes() for storage in kept.values())


def _identity(model: Mapping[str, Any], tokens: tuple[int, int, int], batch_size: int,
              references: int) -> tuple[int, int]:
    """Bytes of the weights of FLUX's autoencoder and DINO, and of what they keep; none with the tiny encoders."""
    image, encoder = model['codec'].get('image') or {}, model['codec'].get('references') or {}
    if image.get('type') != 'FluxAutoencoder' or not model.get('identity_weight'):
        return 0, 0
    diffusers, transformers = need_package('diffusers', 'flux'), need_package('transformers', 'flux')
    precision, fine = (DTYPES.get(part.get('dtype', 'float32'), torch.float16) for part in (image, encoder))
    with torch.device('meta'):
        autoencoder = diffusers.AutoencoderKL.from_config(_config_in(image.get('path'), 'vae') or _AUTOENCODER)
        dino = transformers.Dinov2Model(transformers.Dinov2Config(**(_config_in(encoder.get('dino_path')) or _DINO)))
        sides = tokens[:2] if model.get('identity_decode', 'image') == 'image' else [
            math.ceil(_SIDE * side) + MARGIN for side in tokens[:2]]  # A window at a time.
        z = torch.zeros(1, 16, PATCH * sides[0], PATCH * sides[1], dtype=precision, requires_grad=True)
        crop = torch.zeros(1, 3, encoder.get('size', 224), encoder.get('size', 224), dtype=fine, requires_grad=True)
    decoder = nn.Module.to(autoencoder.requires_grad_(False), precision)
    dino = dino.requires_grad_(False).to(fine)
    decoded = kept_by_autograd(decoder, lambda: decoder.decode(z, return_dict=False))
    embedded = kept_by_autograd(dino, lambda: dino(crop))
    at_once = batch_size if model.get('identity_decode', 'image') == 'image' else 1
    weights = sum(_bytes(parameter) for part in (decoder, dino) for parameter in part.parameters())
    return weights, at_once * decoded + batch_size * references * embedded


def _config_in(path: str | None, *inside: str) -> dict[str, Any] | None:
    """``config.json`` of a folder of weights, or of a folder in it; None where it is not there yet."""
    files = [] if path is None else [Path(path, *parts, 'config.json') for parts in (*((each,) for each in inside), ())]
    found = next((file for file in files if file.is_file()), None)
    return None if found is None else json.loads(found.read_text(encoding='utf-8'))


def _count(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)


def _bytes(parameter: nn.Parameter) -> int:
    return parameter.numel() * parameter.element_size()


def _has_lora(name: str) -> bool:
    return '.lora_' in name
