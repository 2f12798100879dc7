"""Weights of VideoPose3D's TemporalModel, and of mmpose's TCN, which is the same network under other names."""

import re

from torch import Tensor

from motionlab.apis.sources import Renamed, need
from motionlab.apis.sources.lifting_codec import BASE_CHANNELS, codec_config
from motionlab.utils import CheckpointError

_MMPOSE_NAMES = (
    (re.compile(r'^backbone\.expand_conv\.conv\.'), 'expand_conv.'),
    (re.compile(r'^backbone\.expand_conv\.bn\.'), 'expand_bn.'),
    (re.compile(r'^(?:keypoint_)?head\.conv\.'), 'shrink.'),  # keypoint_head before 1.0.
)
_MMPOSE_BLOCK = re.compile(r'^backbone\.tcn_blocks\.(\d+)\.conv([12])\.0\.(conv|bn)\.')


def convert(weights: dict[str, Tensor], *, causal: bool = False, num_joints: int = 17,
            third_is_depth: bool = False) -> tuple[dict, Renamed]:
    """VideoPose3D: github.com/facebookresearch/VideoPose3D, ``TemporalModel`` or ``TemporalModelOptimized1f``.

    Args:
        weights: Tensors of ``model_pos``.
        causal: The network was trained to answer for the last frame of its window.
        num_joints: Input joints per frame.
        third_is_depth: With three channels a joint, the third is depth and not confidence.

    Raises:
        CheckpointError: the keys are not this network's, or its sizes cannot be told from them.
    """
    first, last = (need(weights, key) for key in ('expand_conv.weight', 'shrink.weight'))
    in_channels, rest = divmod(first.shape[1], num_joints)
    if rest or in_channels not in BASE_CHANNELS:
        raise CheckpointError(f'the first layer has {first.shape[1]} inputs: expected num_joints={num_joints} times '
                              f'one of {BASE_CHANNELS}. Give the right num_joints.')
    blocks = sum(re.fullmatch(r'layers_conv\.\d+\.weight', key) is not None for key in weights) // 2
    kernels = [first.shape[2], *(need(weights, f'layers_conv.{2 * i}.weight').shape[2] for i in range(blocks))]
    config = dict(
        type='PoseLifter',
        codec=codec_config(in_channels, num_joints, last.shape[0], third_is_depth),
        backbone=dict(type='TCN', num_joints=num_joints, channels=first.shape[0], kernel_sizes=tuple(kernels),
                      causal=causal),
        head=dict(type='PoseRegressionHead'))
    renamed = {}
    for key, tensor in weights.items():
        ours = _our_name(key)
        if ours is not None:
            # Our last layer is linear; theirs is a convolution of width 1.
            renamed[ours] = (key, tensor.squeeze(-1) if key == 'shrink.weight' else tensor)
    return config, renamed


def convert_mmpose(weights: dict[str, Tensor], *, causal: bool = False, num_joints: int = 17,
                   third_is_depth: bool = False) -> tuple[dict, Renamed]:
    """mmpose 1.x: ``TCN`` with ``TemporalRegressionHead``, and AugLift's, whose encoding the codec then follows.

    Arguments and errors as for :func:`convert`.
    """
    need(weights, 'backbone.expand_conv.conv.weight')
    # Whatever is not mmpose's is not looked at: VideoPose3D's own files are encoded by another rule.
    original = {name: key for key in weights if (name := _mmpose_to_original(key)) != key}
    config, renamed = convert({name: weights[key] for name, key in original.items()}, causal=causal,
                              num_joints=num_joints, third_is_depth=third_is_depth)
    config['codec']['preset'] = 'tcn'
    return config, {ours: (original[key], tensor) for ours, (key, tensor) in renamed.items()}


def _our_name(key: str) -> str | None:
    fixed = {'expand_conv.': 'backbone.expand.conv.', 'expand_bn.': 'backbone.expand.norm.', 'shrink.': 'head.fc.'}
    for theirs, ours in fixed.items():
        if key.startswith(theirs):
            return key.replace(theirs, ours, 1)
    layer = re.match(r'layers_(conv|bn)\.(\d+)\.(.+)', key)
    if layer is None:
        return None
    kind, number, rest = layer.group(1), int(layer.group(2)), layer.group(3)
    part = 'pointwise' if number % 2 else 'temporal'
    return f"backbone.blocks.{number // 2}.{part}.{'conv' if kind == 'conv' else 'norm'}.{rest}"


def _mmpose_to_original(key: str) -> str:
    for pattern, replacement in _MMPOSE_NAMES:
        key = pattern.sub(replacement, key)
    return _MMPOSE_BLOCK.sub(lambda m: f'layers_{m[3]}.{2 * int(m[1]) + int(m[2]) - 1}.', key)
