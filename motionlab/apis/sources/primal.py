"""Weights of PRIMAL: velocity and acceleration, in context and adaLN, with and without control, raw and averaged."""

import re

import torch
from torch import Tensor

from motionlab.apis.sources import Renamed, check_values, need
from motionlab.codecs import motion_batch as keys
from motionlab.codecs.motion_layout import MotionLayout
from motionlab.models.layers import sinusoidal_table
from motionlab.utils import CheckpointError

BRANCHES = ('controlnet1', 'controlnet2')
RAW, AVERAGED = 'state_dict', 'ema_state_dict'
TABLES = ('denoiser.time_embedding.pe', 'denoiser.pos_embedding.pe')

_LAYER_PARTS = {'self_attn.in_proj_': 'attention.qkv.', 'self_attn.out_proj.': 'attention.proj.', 'linear1.': 'fc1.',
                'linear2.': 'fc2.', 'norm1.': 'norm1.', 'norm2.': 'norm2.'}
_MODULATED_PARTS = {'attn.in_proj_': 'attention.qkv.', 'attn.out_proj.': 'attention.proj.', 'mlp.0.': 'fc1.',
                    'mlp.2.': 'fc2.', 'mlp_adaLN.1.': 'modulation.'}
_STACKS = {'denoiser.tf_encoder.layers.': ('layers.', _LAYER_PARTS),
           'denoiser.ctrl_tf_encoder.layers.': ('adapter.layers.', _LAYER_PARTS),
           'denoiser.ctrl_encoder_out.': ('adapter.outputs.', {'': ''}),
           'denoiser.tf_encoder.': ('layers.', _MODULATED_PARTS)}
_FIXED = {'denoiser.time_embedding.mlp.': 'time_embedding.mlp.', 'denoiser.in_fc.': 'in_fc.',
          'denoiser.out_fc.linear.': 'out_fc.', 'denoiser.out_fc.mlp_adaLN.1.': 'out_modulation.',
          'denoiser.out_fc.': 'out_fc.', 'emb_motionseed.': 'seed_fc.', 'ctrl_action_embedding.': 'adapter.embedding.',
          'ctrl_target.': 'adapter.embedding.'}
_ACTION, _GOAL = 'ctrl_action_embedding.weight', 'ctrl_target.weight'
_BRANCH = ('denoiser.ctrl_tf_encoder.', 'denoiser.ctrl_encoder_out.')

# Every family and form, the likeliest first: a number of channels can be that of several.
_LAYOUTS = [MotionLayout(order, features, rotation, keys.NUM_JOINTS)
            for order, features in ((1, (keys.JOINTS, keys.VELOCITY)),
                                    (2, (keys.JOINTS, keys.VELOCITY, keys.ACCELERATION)),
                                    (2, (keys.JOINTS, keys.ACCELERATION)))
            for rotation in ('6d', 'axis_angle')]
_MARKER_CHANNELS = 477
_FAMILIES = {1: 'velocity', 2: 'acceleration'}
_PUBLISHED_STEPS = 50
_TABLE_ERROR = 2e-3  # Angles of up to 5000 radians in float32.
_SHOWN = 5


def select_weights(content: object, *, ema: bool = True) -> object:
    """The weights that are meant in a file that holds raw and averaged ones.

    Args:
        content: Of the file. ``ema_state_dict`` holds averages under the names of ``state_dict``, of parameters only.
        ema: The averaged ones, which generation is published with; otherwise those that training goes on with.

    Raises:
        CheckpointError: there are no averages, or not of every parameter.
    """
    averaged = content.get(AVERAGED) if isinstance(content, dict) else None
    if not ema:
        return content
    if not isinstance(averaged, dict) or not averaged:
        raise CheckpointError(f'holds no averaged weights ({AVERAGED}): they begin late in training. Give ema=False '
                              'for the raw ones.')
    raw = content[RAW] if isinstance(content.get(RAW), dict) else {}
    missing = [key for key in raw if key not in averaged and key not in TABLES]
    unknown = [key for key in averaged if raw and key not in raw]
    for found, side, other in ((missing, RAW, AVERAGED), (unknown, AVERAGED, RAW)):
        if found:
            raise CheckpointError(f'{len(found)} weights of {side} are not in {other}{_examples(found)}. Give '
                                  'ema=False for the raw ones.')
    _log(f'taking the averaged weights ({AVERAGED}), {len(averaged)} tensors')
    return {**{key: value for key, value in content.items() if key != AVERAGED}, RAW: {**raw, **averaged}}


def convert(weights: dict[str, Tensor], *, num_heads: int = 8, activation: str = 'silu',
            separate_condition_token: bool = False, adapter: str = 'controlnet2', order: int | None = None,
            rotation: str | None = None, metric: bool = False) -> tuple[dict, Renamed]:
    """PRIMAL: github.com/yz-cnsdqz/primal-release and its acceleration fork; names ``denoiser.*``, ``emb_motionseed``.

    The number of channels tells velocity from acceleration and the form of rotations, names tell in context from adaLN
    and how the network is controlled. What was found is logged.

    Args:
        weights: The ``state_dict``.
        num_heads: Attention heads.
        activation: Of the perceptrons. The acceleration fork always builds ``'relu'``, whatever its files say.
        separate_condition_token: Step and first frame are two tokens.
        adapter: ``'controlnet1'`` or ``'controlnet2'``, which have the same names.
        order: 1 velocity, 2 acceleration: where the channels leave it open, 1.
        rotation: ``'6d'`` or ``'axis_angle'``: where the channels leave it open, ``'6d'``.
        metric: Differences are per second.

    Raises:
        CheckpointError: the weights are of something else, or not finite.
    """
    if adapter not in BRANCHES:
        raise CheckpointError(f'found adapter={adapter!r}, expected one of {BRANCHES}.')
    width, channels = _matrix(weights, 'denoiser.in_fc.weight').shape
    layout, others = _layout(channels, order, rotation)
    in_context = any(key.startswith('denoiser.tf_encoder.layers.') for key in weights)
    hidden = _matrix(weights, f'denoiser.tf_encoder.{"layers.0.linear1" if in_context else "0.mlp.0"}.weight')
    renamed = {f'backbone.{ours}': (key, tensor) for key, tensor in weights.items() if (ours := _our_name(key))}
    check_values(renamed)
    backbone = dict(type='MotionDiT', embed_dim=width, num_layers=_num_layers(renamed), num_heads=num_heads,
                    ffn_dim=hidden.shape[0], activation=activation,
                    conditioning='in_context' if in_context else 'adaln',
                    separate_condition_token=separate_condition_token, num_timesteps=_num_steps(weights, width))
    control = _adapter(weights, adapter)
    if control:
        backbone['adapter'] = control
    codec = dict(type='MotionEncoding', order=layout.order, features=layout.features, rotation=layout.rotation,
                 metric=metric)
    config = dict(type='MotionDiffuser', codec=codec, backbone=backbone, head=dict(type='DiffusionHead'))
    _report(layout, others, backbone)
    return config, renamed


def _matrix(weights: dict[str, Tensor], key: str) -> Tensor:
    found = need(weights, key)
    if found.ndim != 2:
        raise CheckpointError(f'{key} has the shape {tuple(found.shape)}, expected a matrix.')
    return found


def _layout(channels: int, order: int | None, rotation: str | None) -> tuple[MotionLayout, list[MotionLayout]]:
    """The likeliest form with so many channels that the hints leave, and the others of its size."""
    if channels == _MARKER_CHANNELS:
        raise CheckpointError(f'has {channels} channels, the marker form, whose vertices no file says: expected one on '
                              'joints.')
    same = [layout for layout in _LAYOUTS if layout.num_channels == channels]
    left = [layout for layout in same if order in (None, layout.order) and rotation in (None, layout.rotation)]
    if not left:
        offered = '; '.join(f'{layout.num_channels}: {_describe(layout)}' for layout in same or _LAYOUTS)
        raise CheckpointError(f'has {channels} channels, found order={order!r}, rotation={rotation!r}; expected one of '
                              f'{offered}.')
    if order == 2 and rotation is None and len(left) > 1:
        raise CheckpointError(f'has {channels} channels, which with order=2 is {" or ".join(map(_describe, left))}: '
                              'give rotation.')
    return left[0], [layout for layout in same if layout != left[0]]


def _our_name(key: str) -> str | None:
    """Name in our backbone of a weight in the file; None for tables and what has no place."""
    if key in TABLES:
        return None
    for start, (ours, parts) in _STACKS.items():
        match = re.match(rf'{re.escape(start)}(\d+)\.', key)
        if match is None:
            continue
        rest = key[match.end():]
        part = next((part for part in parts if rest.startswith(part)), None)
        return None if part is None else f'{ours}{match[1]}.{parts[part]}{rest.removeprefix(part)}'
    start = next((start for start in _FIXED if key.startswith(start)), None)
    return None if start is None else f'{_FIXED[start]}{key.removeprefix(start)}'


def _num_layers(renamed: Renamed) -> int:
    numbers = {int(match[1]) for ours in renamed if (match := re.match(r'backbone\.layers\.(\d+)\.', ours))}
    if numbers != set(range(len(numbers))):
        raise CheckpointError(f'holds the layers {sorted(numbers)}, expected all from 0 on.')
    return len(numbers)


def _num_steps(weights: dict[str, Tensor], width: int) -> int:
    """Diffusion steps, from the table of the step embedding; the tables must be the published ones."""
    num_steps = _PUBLISHED_STEPS
    for key in TABLES:
        if key not in weights:
            continue
        rows = weights[key].float().flatten(0, -2) if weights[key].ndim > 1 else torch.empty(0, 0)  # (S, h)
        if rows.shape[1] != width or not torch.allclose(rows, sinusoidal_table(len(rows), width), 0, _TABLE_ERROR):
            raise CheckpointError(f'{key} {tuple(weights[key].shape)} is not the table of sines and cosines of width '
                                  f'{width}: the network has other embeddings.')
        if key == TABLES[0]:
            num_steps = len(rows)
    return num_steps


def _adapter(weights: dict[str, Tensor], kind: str) -> dict | None:
    """Arguments of the adapter that the names in the file ask for."""
    tables = [key for key in (_ACTION, _GOAL) if key in weights]
    branch = [key for key in weights if key.startswith(_BRANCH)]
    if not tables and not branch:
        return None
    if len(tables) != 1:
        raise CheckpointError(f'is controlled, and holds {" and ".join(tables) or "none"} of {_ACTION} and {_GOAL}, '
                              'expected one.')
    size = _matrix(weights, tables[0]).shape
    if tables[0] == _GOAL and size[1] not in (2, 3):
        raise CheckpointError(f'{_GOAL} has the shape {tuple(size)}, expected goals of 2 or 3 numbers.')
    wanted = dict(control='action', num_actions=size[0]) if tables[0] == _ACTION else dict(control='goal',
                                                                                           goal_dim=size[1])
    return dict(kind=kind if branch else 'finetune', **wanted)


def _report(layout: MotionLayout, others: list[MotionLayout], backbone: dict) -> None:
    form = ('adaLN' if backbone['conditioning'] == 'adaln' else
            f'in context, {"two condition tokens" if backbone["separate_condition_token"] else "one condition token"}')
    control = backbone.get('adapter')
    parts = [f'{layout.num_channels} channels: {_describe(layout)}',
             f'{form}, {backbone["num_layers"]} layers of width {backbone["embed_dim"]} with {backbone["num_heads"]} '
             f'heads, {backbone["activation"]}',
             f'controlled by {control["control"]} ({control["kind"]})' if control else '']
    _log(f'PRIMAL, {"; ".join(filter(None, parts))}')
    if others:
        _log(f'{layout.num_channels} channels may also be {"; ".join(map(_describe, others))}')
    if layout.order == 2 and backbone['activation'] != 'relu' and backbone['conditioning'] == 'in_context':
        _log("the acceleration fork builds relu whatever its config says: give activation='relu' for its files")


def _describe(layout: MotionLayout) -> str:
    return (f'{_FAMILIES[layout.order]} (order={layout.order}, rotation={layout.rotation!r}, '
            f'features {", ".join(layout.features)})')


def _log(line: str) -> None:
    from mmengine.logging import print_log
    print_log(line, logger='current')


def _examples(names: list[str]) -> str:
    return f" ({', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''})"
