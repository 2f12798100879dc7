"""Weights of the published code of MoviePostProduction, which compute what it does (``LegacyLayoutFlux``)."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from motionlab.apis.sources import Renamed, check_values, need
from motionlab.models.backbones.layout_flux_legacy import flux_config, open_flux
from motionlab.models.layers.layout_references import SPATIAL_DIM
from motionlab.utils import CheckpointError, ConfigError

FILE, CONFIG = 'model.pt', 'config.yaml'
FLUX, PEFT = 'flux_transformer.', 'base_model.model.'
ADDON, ATTENTION = 'layout_integrator.assemble_addon.', 'layout_attention.'
COPY, LIVE = 'layout_head.', f'{ADDON}layout_head.'  # The same tensors, but in files of the first commit.
_HEADS = ('alpha_predictor.', 'clip_proj.', 'instance_fusion_mlp.', 'modulation_head.', 'feedback_bridge.')
_PER_BLOCK = re.compile(r'(modulation_head\.block_projections|modulation_head\.block_adaln_projs|'
                        r'feedback_bridge\.projections)\.(\d+)\.')
_LORA = re.compile(r'(.+)\.lora_([AB])\.(?:(\w+)\.)?weight')
_STEP = re.compile(r'checkpoint_(\d+)')
_PUBLISHED_HEAD_DIM, _PUBLISHED_AXES = 128, (16, 56, 56)
_SHOWN = 4


def convert(weights: dict[str, Tensor], *, flux: str | Path | dict | None = None, check_base: bool = False,
            lora_scale: float = 1.0, hard_visual: bool = False) -> tuple[dict, Renamed, list[str]]:
    """MultiRefImages: github.com/saisritejakuppaEros/MultiRefImages, ``MoviePostProductionModel``.

    The files hold the whole FLUX beside the heads, under ``flux_transformer.`` or, with LoRA, under
    ``flux_transformer.base_model.model.``; where ``flux`` is a folder it is dropped. Of two copies of the layout head
    the one in ``layout_integrator`` was at work.

    Args:
        weights: Of ``model.pt``.
        flux: The base: a folder that diffusers saved (the transformer, or a pipeline) or a ``.pt`` with ``config`` and
            ``state_dict``, whose weights are taken; or the config of a FLUX (a dict, or a ``.json``), with which those
            of the file are. None is a config too, read off the shapes, with the published axes of positions.
        check_base: Compare the base weights of the file with those of ``flux`` before dropping them.
        lora_scale: alpha / rank of LoRA, which no shape tells; a ``config.yaml`` beside the file does.
        hard_visual: The numerics of the first commit, which took clip below alpha 0.5 and dino above.

    Returns:
        Config, weights by our names, and the keys of the file that have no place because they need none.

    Raises:
        CheckpointError: the weights are of something else, not finite, contradict each other or ``flux``, or hold no
            base where ``flux`` is a config.
        ConfigError: ``flux`` is none of these.
    """
    live = LIVE if any(key.startswith(LIVE) for key in weights) else COPY
    dropped = [key for key in weights if key.startswith(COPY)] if live == LIVE else []
    _note_copies(weights, dropped)
    renamed: Renamed = {ours: (key, tensor) for key, tensor in weights.items() if (ours := _head_name(key, live))}
    lora = _read_lora(weights)
    base = {_base_name(key): (key, tensor) for key, tensor in weights.items() if _base_name(key)}
    spec, model = _open(flux, base, check_base)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    network = _read_sizes(weights, model)
    if lora:
        network['lora'] = _lora_config(lora, lora_scale, shapes)
        renamed |= {f'flux.{target}.lora_{side}.default.weight': found for (target, side), found in lora.items()}
    if 'path' in spec:
        _check_base(base, model, check_base)
        dropped += [key for name, (key, _) in base.items() if name in shapes]
    elif not base:
        raise CheckpointError(f'holds no {FLUX}* weights of FLUX: give flux as a folder that has them.')
    else:
        wrapped = {target for target, _ in lora}
        renamed |= {f'flux.{_wrap(name, wrapped)}': found for name, found in base.items() if name in shapes}
    check_values(renamed)
    if hard_visual:
        network['hard_visual'] = True
    adapter = f'LoRA of rank {network["lora"]["rank"]}' if lora else 'no LoRA'
    _log(f'MultiRefImages: {len(model.transformer_blocks)} + {len(model.single_transformer_blocks)} blocks of width '
         f'{model.inner_dim}, clip {network["clip_dim"]}, dino {network["dino_dim"]}, {adapter}, base of '
         f'{spec.get("path", "the file")}')
    return dict(type='LegacyLayoutFlux', flux=spec, **network), renamed, dropped


def upstream_weights(net: nn.Module) -> dict[str, Tensor]:
    """The way back: weights of a ``LegacyLayoutFlux`` by the published names, as ``model.pt`` holds them.

    The base is among them where the network has it in its ``state_dict``.
    """
    state = net.state_dict()
    peft = PEFT if any('.lora_' in key for key in state) else ''
    found: dict[str, Tensor] = {}
    for key, tensor in state.items():
        if key.startswith('flux.'):
            found[f'{FLUX}{peft}{key.removeprefix("flux.")}'] = tensor
        elif key.startswith(ATTENTION):
            found[f'{ADDON}{key.removeprefix(ATTENTION)}'] = tensor
        else:
            found[key] = tensor
            if key.startswith(COPY):
                found[f'{LIVE}{key.removeprefix(COPY)}'] = tensor
    return found


def find_checkpoint(folder: Path) -> tuple[Path, str]:
    """``model.pt`` of a folder ``checkpoint_*``, or of the last one in a folder of them, and why this one.

    Raises:
        CheckpointError: there is none.
    """
    if (folder / FILE).is_file():
        return folder / FILE, ''
    steps = {int(match[1]): path for path in folder.iterdir()
             if (match := _STEP.fullmatch(path.name)) and (path / FILE).is_file()}
    if not steps:
        there = ', '.join(sorted(path.name for path in folder.iterdir())[:_SHOWN]) or 'nothing'
        raise CheckpointError(f'{folder}: holds no {FILE} and no checkpoint_* with one; found {there}.')
    return steps[max(steps)] / FILE, f'{folder}: of {len(steps)} checkpoints taking the last one, {max(steps)}.'


def read_beside(path: Path) -> dict[str, float]:
    """What the ``config.yaml`` beside a file tells of LoRA, which is all that the weights do not; {} without one."""
    import yaml
    config = path.parent / CONFIG
    if not config.is_file():
        return {}
    try:
        lora = (yaml.safe_load(config.read_text()) or {}).get('lora') or {}
        return {'lora_scale': lora['alpha'] / lora['rank']} if {'alpha', 'rank'} <= set(lora) else {}
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError, TypeError, ZeroDivisionError) as error:
        _log(f'{config} cannot be read ({str(error).splitlines()[0]}): alpha / rank of LoRA is taken to be 1, as '
             'published; give lora_scale where it is not')
        return {}


def _note_copies(weights: dict[str, Tensor], copies: Iterable[str]) -> None:
    other = [key for key in copies if (twin := weights.get(f'{LIVE}{key.removeprefix(COPY)}')) is not None
             and not torch.equal(twin, weights[key])]
    if other:
        _log(f'{COPY}* and {LIVE}* differ, as in files of the first commit; the latter was at work. For the numerics '
             'of that commit give hard_visual=True')


def _head_name(key: str, live: str) -> str | None:
    """Name in our network of a weight of the heads; None for everything else."""
    if key.startswith(live):
        return f'{COPY}{key.removeprefix(live)}'
    if key.startswith(ADDON) and not key.startswith(LIVE):
        return f'{ATTENTION}{key.removeprefix(ADDON)}'
    return key if key.startswith(_HEADS) else None


def _base_name(key: str) -> str | None:
    """Name in FLUX of a weight of the base; None for everything else."""
    if not key.startswith(FLUX) or _LORA.fullmatch(key):
        return None
    return key.removeprefix(FLUX).removeprefix(PEFT).replace('.base_layer.', '.')


def _wrap(name: str, wrapped: set[str]) -> str:
    """Name of a weight of the base in a FLUX with LoRA around these layers."""
    layer, _, kind = name.rpartition('.')
    return f'{layer}.base_layer.{kind}' if layer in wrapped else name


def _read_lora(weights: dict[str, Tensor]) -> dict[tuple[str, str], tuple[str, Tensor]]:
    """(layer of FLUX, ``'A'`` or ``'B'``) -> (key, matrix)."""
    found, adapters = {}, set()
    for key, tensor in weights.items():
        if key.startswith(FLUX) and (match := _LORA.fullmatch(key)):
            found[match[1].removeprefix(FLUX).removeprefix(PEFT), match[2]] = (key, tensor)
            adapters.add(match[3])
    if len(adapters) > 1:
        raise CheckpointError(f'holds {len(adapters)} adapters of LoRA ({", ".join(sorted(map(str, adapters)))}), '
                              'expected one.')
    return found


def _lora_config(lora: dict, scale: float, shapes: dict[str, tuple]) -> dict:
    ranks = {tensor.shape[0] if side == 'A' else tensor.shape[-1] for (_, side), (_, tensor) in lora.items()}
    targets = {target for target, _ in lora}
    strange = sorted(target for target in targets if f'{target}.weight' not in shapes)
    if len(ranks) != 1 or strange:
        raise CheckpointError(f'LoRA has the ranks {sorted(ranks)} and is around {", ".join(strange[:_SHOWN]) or "all"}'
                              '; expected one rank, and layers of FLUX.')
    ends = {target.rpartition('.')[2] for target in targets}
    alike = {name.removesuffix('.weight') for name in shapes if name.endswith('.weight')
             and name.removesuffix('.weight').rpartition('.')[2] in ends}
    rank = ranks.pop()
    return dict(rank=rank, alpha=rank * scale, targets=sorted(ends if alike == targets else targets))


def _open(flux: str | Path | dict | None, base: Renamed, values: bool) -> tuple[dict, nn.Module]:
    """What ``LegacyLayoutFlux`` is told of the base, and a FLUX of this form; with its own weights where asked for."""
    if flux is None:
        flux = _config_of({name: tuple(tensor.shape) for name, (_, tensor) in base.items()})
    elif isinstance(flux, (str, Path)) and Path(flux).suffix == '.json' and Path(flux).is_file():
        flux = json.loads(Path(flux).read_text())
    if isinstance(flux, (str, Path)):
        flux = dict(path=str(flux))
    elif set(flux) not in ({'config'}, {'path'}):
        flux = dict(config=dict(flux))
    if 'path' in flux and values:
        return flux, open_flux(flux)
    with torch.device('meta'):
        model = open_flux(dict(config=flux_config(flux)))
    if 'config' in flux:  # With the values that were left at their defaults, as plain data.
        flux = dict(config={name: list(value) if isinstance(value, tuple) else value
                            for name, value in model.config.items() if not name.startswith('_')})
    return flux, model


def _config_of(shapes: dict[str, tuple]) -> dict:
    """The config of the FLUX that weights of these shapes are of."""
    try:
        head_dim = shapes['transformer_blocks.0.attn.norm_q.weight'][0]
        width, channels = shapes['x_embedder.weight']
        sizes = dict(in_channels=channels, out_channels=shapes['proj_out.weight'][0], attention_head_dim=head_dim,
                     num_attention_heads=width // head_dim, joint_attention_dim=shapes['context_embedder.weight'][1],
                     pooled_projection_dim=shapes['time_text_embed.text_embedder.linear_1.weight'][1])
    except (KeyError, ValueError) as error:
        raise ConfigError(f'flux: the file does not tell the form of its FLUX ({error}); give a folder or a config.'
                          ) from error
    if head_dim != _PUBLISHED_HEAD_DIM:
        raise ConfigError(f'flux: the file has heads of {head_dim}, not the published {_PUBLISHED_HEAD_DIM}, so no '
                          'shape tells its axes_dims_rope; give a folder or a config.')
    counts = {stack: len({name.split('.')[1] for name in shapes if name.startswith(f'{stack}.')})
              for stack in ('transformer_blocks', 'single_transformer_blocks')}
    return dict(**sizes, num_layers=counts['transformer_blocks'],
                num_single_layers=counts['single_transformer_blocks'], axes_dims_rope=list(_PUBLISHED_AXES),
                guidance_embeds='time_text_embed.guidance_embedder.linear_1.weight' in shapes)


def _read_sizes(weights: dict[str, Tensor], model: nn.Module) -> dict:
    """Arguments of ``LegacyLayoutFlux`` that shapes tell, held against each other and FLUX."""
    alpha, clip, fusion, last = (_matrix(weights, key) for key in (
        'alpha_predictor.fc1.weight', 'clip_proj.weight', 'instance_fusion_mlp.linear1.weight',
        'modulation_head.block_adaln_projs.0.weight'))
    dino_dim, clip_dim = clip.shape
    if alpha.shape[1] != clip_dim + 4 or fusion.shape[1] != SPATIAL_DIM + dino_dim:
        raise CheckpointError(f'alpha_predictor takes {alpha.shape[1]} numbers and instance_fusion_mlp '
                              f'{fusion.shape[1]}, expected {clip_dim} + 4 and {SPATIAL_DIM} + {dino_dim} as clip_proj '
                              f'maps {clip_dim} to {dino_dim}.')
    if fusion.shape[0] != model.inner_dim:
        raise CheckpointError(f'the heads are of width {fusion.shape[0]}, and flux of width {model.inner_dim}.')
    blocks = 1 + max(int(match[2]) for key in weights if (match := _PER_BLOCK.match(key)))
    if blocks != len(model.transformer_blocks):
        raise CheckpointError(f'the heads are for {blocks} double blocks, and flux has '
                              f'{len(model.transformer_blocks)}.')
    return dict(clip_dim=clip_dim, dino_dim=dino_dim, alpha_dim=alpha.shape[0], num_modulations=last.shape[0])


def _matrix(weights: dict[str, Tensor], key: str) -> Tensor:
    found = need(weights, key)
    if found.ndim != 2:
        raise CheckpointError(f'{key} has the shape {tuple(found.shape)}, expected a matrix.')
    return found


def _check_base(base: Renamed, model: nn.Module, values: bool) -> None:
    """Raise where base weights that are about to be dropped are not those of ``flux``."""
    theirs, wrong = model.state_dict(), []
    for name, (key, tensor) in base.items():
        other = theirs.get(name)
        if other is None:
            continue
        dtype = min(tensor.dtype, other.dtype, key=lambda dtype: dtype.itemsize)  # Half of the two may be a copy.
        if tensor.shape != other.shape or (values and not torch.equal(tensor.to(dtype), other.to(dtype))):
            wrong.append(key)
    if wrong:
        raise CheckpointError(f'{len(wrong)} of {len(base)} base weights are not those of flux '
                              f'({", ".join(wrong[:_SHOWN])}{", ..." if len(wrong) > _SHOWN else ""}).')


def _log(line: str) -> None:
    from mmengine.logging import print_log
    print_log(line, logger='current')
