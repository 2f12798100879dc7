"""Weights of Sana's transformer and of the game models built on it."""

import difflib
import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor

from motionlab.apis.sources import Renamed, check_values, need
from motionlab.models.backbones.sana import SanaDiT
from motionlab.utils import CheckpointError, ConfigError

_FIXED = {
    'x_embedder.proj.': 'patch_embed.proj.', 't_embedder.mlp.0.': 'time_embed.emb.timestep_embedder.linear_1.',
    't_embedder.mlp.2.': 'time_embed.emb.timestep_embedder.linear_2.', 't_block.1.': 'time_embed.linear.',
    'y_embedder.y_proj.fc1.': 'caption_projection.linear_1.', 'y_embedder.y_proj.fc2.': 'caption_projection.linear_2.',
    'attention_y_norm.': 'caption_norm.', 'final_layer.linear.': 'proj_out.',
    'final_layer.scale_shift_table': 'scale_shift_table',
}
_BLOCK = re.compile(r'blocks\.(\d+)\.(.+)')
_PARTS = {
    'scale_shift_table': 'scale_shift_table', 'attn.proj.': 'attn1.to_out.0.', 'attn.q_norm.': 'attn1.norm_q.',
    'attn.k_norm.': 'attn1.norm_k.', 'cross_attn.q_linear.': 'attn2.to_q.', 'cross_attn.proj.': 'attn2.to_out.0.',
    'cross_attn.q_norm.': 'attn2.norm_q.', 'cross_attn.k_norm.': 'attn2.norm_k.',
    'mlp.inverted_conv.conv.': 'ff.conv_inverted.', 'mlp.depth_conv.conv.': 'ff.conv_depth.',
    'mlp.point_conv.conv.': 'ff.conv_point.',
}
_FUSED = {'attn.qkv.weight': ('attn1', 'qkv', 'weight'), 'cross_attn.kv_linear.weight': ('attn2', 'kv', 'weight'),
          'cross_attn.kv_linear.bias': ('attn2', 'kv', 'bias')}
NULL, POSITIONS = 'y_embedder.y_embedding', 'pos_embed'

# Values of the original's config of which the network here has only one; the first is the published one.
_ONLY = {'attn_type': ('linear', 'triton_linear'), 'ffn_type': ('glumbconv', 'triton_mbconvpreglu'),
         'mlp_acts': (('silu', 'silu', None), ['silu', 'silu', None]), 'patch_embed_kernel': (None,),
         'timestep_norm_scale_factor': (1.0,)}
# Values that mean something in training only, or are decided by the weights.
_WITHOUT_EFFECT = ('class_dropout_prob', 'learn_sigma', 'drop_path', 'model_max_length', 'y_norm_scale_factor',
                   'use_fp32_attention', 'fp32_attention')
# Sizes that every file tells, and those that only the config does.
_TOLD = ('in_channels', 'out_channels', 'hidden_size', 'depth', 'patch_size', 'mlp_ratio', 'caption_channels',
         'qk_norm', 'cross_norm', 'y_norm', 'input_size', 'use_pe')
_UNTOLD = ('num_heads', 'linear_head_dim', 'pe_interpolation', 'norm_eps', 'pred_sigma')
_ALIKE = 0.92  # Closer than any two names of the originals' configs are.
_WRAPPER = 'sana.'  # Before every key of a transformer that was cut out of a game model.
_TABLE_ERROR = 2e-3  # Angles of some hundred radians in float32.


def convert(weights: dict[str, Tensor], *, config: dict | None = None, num_heads: int | None = None,
            linear_head_dim: int | None = None) -> tuple[dict, Renamed]:
    """Sana: github.com/NVlabs/Sana, ``SanaMS``, and forks of it.

    Args:
        weights: The ``state_dict``.
        config: Values of the original's config, for what shapes do not tell (``num_heads``, ``linear_head_dim``,
            ``pe_interpolation``, ``norm_eps``); defaults are those of the published game model. Values that shapes do
            tell must agree with them. Or the whole of a config file, whose section ``model`` is read.
        num_heads: Heads of the cross attentions, unless config says; 16 published.
        linear_head_dim: Width of a head of the linear attentions, unless config says; 32 published.

    Raises:
        CheckpointError: the weights are of something else, not finite, or contradict the config.
        ConfigError: the config asks for a form that there is not.
    """
    prefix = _WRAPPER if all(key.startswith(_WRAPPER) for key in weights) else ''
    network = read_config(weights, add_heads(config, num_heads, linear_head_dim), prefix)
    renamed = {f'net.{ours}': found for ours, found in rename(weights, prefix).items()}
    check_values(renamed)
    return dict(type='SanaDiT', **network), renamed


def add_heads(config: dict | None, num_heads: int | None, linear_head_dim: int | None) -> dict:
    """The config (or its section ``model``) with what is given beside it; :class:`ConfigError` where they differ."""
    merged = dict(config or {})
    if isinstance(merged.get('model'), Mapping):
        merged = dict(merged['model'])
    for name, value in (('num_heads', num_heads), ('linear_head_dim', linear_head_dim)):
        if value is not None and merged.setdefault(name, value) != value:
            raise ConfigError(f'found {name}={value} and another one in config, {merged[name]}; give one.')
    return merged


def rename(weights: dict[str, Tensor], prefix: str = '') -> Renamed:
    """Weights of the transformer under ``prefix``, by their names in diffusers' network."""
    renamed: Renamed = {}
    for key, tensor in weights.items():
        if not key.startswith(prefix):
            continue
        name = key.removeprefix(prefix)
        start = next((start for start in _FIXED if name.startswith(start)), None)
        block = _BLOCK.fullmatch(name)
        if start is not None:
            renamed[f'{_FIXED[start]}{name.removeprefix(start)}'] = (key, tensor)
        elif block is not None:
            renamed.update(_rename_in_block(f'transformer_blocks.{block[1]}.', block[2], key, tensor))
    return renamed


def read_config(weights: dict[str, Tensor], config: dict, prefix: str = '') -> dict:
    """Arguments of :class:`SanaDiT`: what shapes tell, and the rest from the original's config.

    Raises:
        CheckpointError: no weights of Sana, or the config contradicts them.
        ConfigError: names or values of the config that are not known here.
    """
    _check_names(config)
    told = _read_shapes(weights, prefix)
    for name, value in config.items():
        if name == 'mlp_ratio' and int(told['hidden_size'] * value) == int(told['hidden_size'] * told[name]):
            continue
        if name in told and value is not None and value != told[name]:
            raise CheckpointError(f'the weights have {name}={told[name]}, but config says {value}.')
    told |= _read_positions(weights, told, config, prefix)
    return told | {name: config[name] for name in ('pe_interpolation', 'norm_eps', 'num_heads', 'linear_head_dim')
                   if name in config}


def _check_names(config: dict) -> None:
    for name, value in config.items():
        if name in _ONLY and value not in _ONLY[name]:
            raise ConfigError(f'config: found {name}={value!r}, expected {_ONLY[name][0]!r}: other forms of Sana are '
                              'not known here.')
    known = (*_TOLD, *_UNTOLD, *_ONLY, *_WITHOUT_EFFECT)
    unknown = [name for name in config if name not in known]
    for name in unknown:
        if near := difflib.get_close_matches(name, known, n=1, cutoff=_ALIKE):
            raise ConfigError(f'config: found {name}, which is not known; meant {near[0]}?')
    if unknown:
        log(f'config: {", ".join(unknown)} mean nothing here and are passed over')


def _read_shapes(weights: dict[str, Tensor], prefix: str) -> dict:
    patches, last = (need(weights, f'{prefix}{key}') for key in ('x_embedder.proj.weight', 'final_layer.linear.weight'))
    tokens = need(weights, f'{prefix}y_embedder.y_proj.fc1.weight')
    hidden = need(weights, f'{prefix}blocks.0.mlp.inverted_conv.conv.weight')
    if patches.ndim != 4 or patches.shape[2] != patches.shape[3] or last.ndim != 2 or tokens.ndim != 2:
        raise CheckpointError(f'{prefix}x_embedder.proj.weight has the shape {tuple(patches.shape)} and final_layer.'
                              f'linear.weight {tuple(last.shape)}, expected (h, C, p, p) and (p p C, h).')
    width, channels, patch = patches.shape[:3]
    found = {f'{prefix}blocks.{match[1]}' for key in weights if key.startswith(prefix)
             and (match := _BLOCK.fullmatch(key.removeprefix(prefix)))}
    if found != {f'{prefix}blocks.{i}' for i in range(len(found))}:
        raise CheckpointError(f'holds {sorted(found)}, expected all from 0 on.')
    return dict(in_channels=channels, out_channels=last.shape[0] // patch ** 2, hidden_size=width, depth=len(found),
                patch_size=patch, mlp_ratio=_ratio(hidden.shape[0] // 2, width), caption_channels=tokens.shape[1],
                qk_norm=f'{prefix}blocks.0.attn.q_norm.weight' in weights,
                cross_norm=f'{prefix}blocks.0.cross_attn.q_norm.weight' in weights,
                y_norm=f'{prefix}attention_y_norm.weight' in weights)


def _ratio(hidden: int, width: int) -> float:
    """A ratio that gives so wide convolutions; rounded down there."""
    exact = hidden / width
    return exact if int(exact * width) == hidden else (hidden + 0.5) / width


def _read_positions(weights: dict[str, Tensor], told: dict, config: dict, prefix: str) -> dict:
    """Whether there is a table of positions, and for which size: networks without one store zeros."""
    read = {name: config[name] for name in ('use_pe', 'input_size') if config.get(name) is not None}
    table = weights.get(f'{prefix}{POSITIONS}')
    if table is None:
        return read
    side = math.isqrt(table.shape[-2]) if table.ndim == 3 else 0
    if not side or side ** 2 != table.shape[-2]:
        raise CheckpointError(f'{prefix}{POSITIONS} has the shape {tuple(table.shape)}, expected (1, n n, h).')
    size = side * told['patch_size']
    if read.get('input_size', size) // told['patch_size'] != side:
        raise CheckpointError(f'the weights have input_size={size}, but config says {read["input_size"]}.')
    read = {'input_size': size, **read}
    if 'use_pe' not in read:
        read['use_pe'] = bool(table.any())
        if read['use_pe']:
            _check_table(table, told, size, config.get('pe_interpolation', 1.0))
    return read


def _check_table(table: Tensor, told: dict, size: int, interpolation: float) -> None:
    net = SanaDiT(1, 1, told['hidden_size'], depth=1, num_heads=1, linear_head_dim=told['hidden_size'],
                  patch_size=told['patch_size'], input_size=size, use_pe=True, pe_interpolation=interpolation)
    if not torch.allclose(table.float(), net.net.patch_embed.pos_embed, atol=_TABLE_ERROR, rtol=0):
        raise CheckpointError(f'{POSITIONS} is not the table of positions for pe_interpolation={interpolation}: give '
                              'the one of the original in config.')


def _rename_in_block(ours: str, name: str, key: str, tensor: Tensor) -> Renamed:
    if name in _FUSED:
        attention, parts, kind = _FUSED[name]
        chunks = tensor.chunk(len(parts)) if tensor.ndim and tensor.shape[0] % len(parts) == 0 else [tensor] * 3
        return {f'{ours}{attention}.to_{part}.{kind}': (key, chunk) for part, chunk in zip(parts, chunks)}
    part = next((part for part in _PARTS if name.startswith(part)), None)
    return {} if part is None else {f'{ours}{_PARTS[part]}{name.removeprefix(part)}': (key, tensor)}


def log(line: str) -> None:
    """To MMEngine's current logger."""
    from mmengine.logging import print_log
    print_log(line, logger='current')
