"""Weights of PoseFormer: the original (pre-norm) and AugLift's (post-norm)."""

import re

from torch import Tensor

from motionlab.apis.sources import Renamed, need
from motionlab.apis.sources.lifting_codec import BASE_CHANNELS, codec_config
from motionlab.utils import CheckpointError

_ORIGINAL = {
    'Spatial_pos_embed': 'backbone.joint_embed', 'Temporal_pos_embed': 'backbone.frame_embed',
    'Spatial_patch_to_embedding.': 'backbone.embed.', 'Spatial_norm.': 'backbone.spatial_norm.',
    'Temporal_norm.': 'backbone.temporal_norm.', 'weighted_mean.': 'backbone.pool.',
    'head.0.': 'head.norm.', 'head.1.': 'head.fc.',
}
_ORIGINAL_STACKS = {'Spatial_blocks': 'spatial', 'blocks': 'temporal'}
_ORIGINAL_LAYER = re.compile(r'(Spatial_blocks|blocks)\.(\d+)\.(norm1|norm2|attn\.qkv|attn\.proj|mlp\.fc1|mlp\.fc2)\.')
_ORIGINAL_PARTS = {'attn.qkv': 'attention.qkv', 'attn.proj': 'attention.proj', 'mlp.fc1': 'fc1', 'mlp.fc2': 'fc2'}

_AUGLIFT = {
    'backbone.spatial_encoder.pos_embed': 'backbone.joint_embed',
    'backbone.temporal_encoder.pos_embed': 'backbone.frame_embed',
    'backbone.spatial_encoder.embed_in.': 'backbone.embed.',
    'backbone.spatial_encoder.norm.': 'backbone.spatial_norm.',
    'backbone.temporal_encoder.norm.': 'backbone.temporal_norm.',
    'backbone.weighted_mean.': 'backbone.pool.', 'head.fc.': 'head.fc.',
}
_AUGLIFT_LAYER = re.compile(r'backbone\.(spatial|temporal)_encoder\.blocks\.(\d+)\.core\.'
                            r'(norm1|norm2|self_attn\.in_proj_|self_attn\.out_proj|linear1|linear2)\.?')
_AUGLIFT_PARTS = {'self_attn.in_proj_': 'attention.qkv', 'self_attn.out_proj': 'attention.proj', 'linear1': 'fc1',
                  'linear2': 'fc2'}
_AUGLIFT_FEATURES = ('img_proj', 'depth_proj')


def convert(weights: dict[str, Tensor], *, num_heads: int = 8, causal: bool = False,
            third_is_depth: bool = False) -> tuple[dict, Renamed]:
    """PoseFormer: github.com/zczcwh/PoseFormer, ``PoseTransformer``.

    Args:
        weights: Tensors of ``model_pos``.
        num_heads: Attention heads of both stacks.
        causal: The network was trained to answer for the last frame of its window.
        third_is_depth: With three channels a joint, the third is depth and not confidence.

    Raises:
        CheckpointError: the keys are not this network's, or its sizes cannot be told from them.
    """
    embed = need(weights, 'Spatial_patch_to_embedding.weight')
    joints, last = need(weights, 'Spatial_pos_embed'), need(weights, 'head.1.weight')
    hidden = [need(weights, f'{stack}.0.mlp.fc1.weight') for stack in _ORIGINAL_STACKS]
    codec = _codec(embed.shape[1], joints.shape[-2], last.shape[0], third_is_depth)
    backbone = dict(norm='pre', num_frames=need(weights, 'Temporal_pos_embed').shape[-2], embed_dim=embed.shape[0],
                    spatial_depth=_count(weights, r'Spatial_blocks\.(\d+)\.norm1\.weight'),
                    temporal_depth=_count(weights, r'blocks\.(\d+)\.norm1\.weight'),
                    mlp_ratio=_mlp_ratio(*hidden))
    config = _config(codec, backbone, num_heads, causal, head_norm=True)
    renamed = _rename(weights, _original_name)
    if not any(key.endswith('.attn.qkv.bias') for key in weights):  # An option of the original.
        renamed.update({f'{ours.removesuffix("weight")}bias': (key, tensor.new_zeros(len(tensor)))
                        for ours, (key, tensor) in renamed.items() if key.endswith('.attn.qkv.weight')})
    return config, renamed


def convert_auglift(weights: dict[str, Tensor], *, num_heads: int = 8, causal: bool = False,
                    third_is_depth: bool = False) -> tuple[dict, Renamed]:
    """AugLift: github.com/nikolaiwarner7/auglift, PoseFormer with post-norm layers; feature blocks included.

    Inputs are in the order base | image features | depth features, and the codec follows the published encoding
    (``preset='poseformer'``). Arguments and errors as for :func:`convert`.
    """
    spatial = 'backbone.spatial_encoder.'
    embed = need(weights, f'{spatial}embed_in.weight')
    joints, last = need(weights, f'{spatial}pos_embed'), need(weights, 'head.fc.weight')
    hidden = [need(weights, f'backbone.{stack}_encoder.blocks.0.core.linear1.weight')
              for stack in ('spatial', 'temporal')]
    blocks = {name: weights[f'{spatial}{name}.weight'] for name in _AUGLIFT_FEATURES
              if f'{spatial}{name}.weight' in weights}
    projected = {block.shape[0] for block in blocks.values()}
    if len(projected) > 1:
        shapes = {name: tuple(block.shape) for name, block in blocks.items()}
        raise CheckpointError(f'{shapes}: expected all feature blocks projected to the same width.')
    base = embed.shape[1] - sum(block.shape[0] for block in blocks.values())
    codec = _codec(base, joints.shape[-2], last.shape[0], third_is_depth)
    backbone = dict(norm='post', num_frames=need(weights, 'backbone.temporal_encoder.pos_embed').shape[1],
                    embed_dim=embed.shape[0],
                    spatial_depth=_count(weights, r'backbone\.spatial_encoder\.blocks\.(\d+)\.core\.norm1\.weight'),
                    temporal_depth=_count(weights, r'backbone\.temporal_encoder\.blocks\.(\d+)\.core\.norm1\.weight'),
                    mlp_ratio=_mlp_ratio(*hidden))
    codec['preset'] = 'poseformer'
    if blocks:
        backbone['feature_proj_dim'] = projected.pop()
        sizes = [blocks[name].shape[1] if name in blocks else 0 for name in _AUGLIFT_FEATURES]
        codec.update(use_feature_maps=True, image_feature_channels=sizes[0], depth_feature_channels=sizes[1])
    names = {f'{spatial}{name}.': f'backbone.project.blocks.{i}.' for i, name in enumerate(blocks)} | _AUGLIFT
    return _config(codec, backbone, num_heads, causal), _rename(weights, lambda key: _auglift_name(key, names))


def _codec(channels: int, joints: int, outputs: int, third_is_depth: bool) -> dict:
    if channels not in BASE_CHANNELS:
        raise CheckpointError(f'the embedding has {channels} base channels a joint: expected one of {BASE_CHANNELS}.')
    return codec_config(channels, joints, outputs, third_is_depth)


def _mlp_ratio(spatial: Tensor, temporal: Tensor) -> float:
    """The ratio that gives both hidden layers, weights (hidden, width), their sizes; the originals round down."""
    ratio = spatial.shape[0] / spatial.shape[1]
    if temporal.shape[0] == ratio * temporal.shape[1]:
        return ratio
    return (temporal.shape[0] + 0.5) / temporal.shape[1]


def _config(codec: dict, backbone: dict, num_heads: int, causal: bool, head_norm: bool = False) -> dict:
    return dict(type='PoseLifter', codec=codec,
                backbone=dict(type='PoseFormer', num_joints=codec['num_joints'], num_heads=num_heads, causal=causal,
                              **backbone),
                head=dict(type='PoseRegressionHead', norm=head_norm))


def _rename(weights: dict[str, Tensor], our_name) -> Renamed:
    renamed = {}
    for key, tensor in weights.items():
        ours = our_name(key)
        if ours is None:
            continue
        # Theirs broadcast over batch and time, and pool with a convolution of width 1.
        if ours.endswith('_embed'):
            tensor = tensor.reshape(tensor.shape[-2], -1) if 'joint' in ours else tensor.reshape(-1, tensor.shape[-1])
        elif ours == 'backbone.pool.weight':
            tensor = tensor.squeeze(-1)
        renamed[ours] = (key, tensor)
    return renamed


def _fixed_name(key: str, names: dict[str, str]) -> str | None:
    return next((ours + key.removeprefix(theirs) for theirs, ours in names.items() if key.startswith(theirs)), None)


def _original_name(key: str) -> str | None:
    layer = _ORIGINAL_LAYER.match(key)
    if layer is None:
        return _fixed_name(key, _ORIGINAL)
    stack, number, part = layer.groups()
    return f'backbone.{_ORIGINAL_STACKS[stack]}.{number}.{_ORIGINAL_PARTS.get(part, part)}.{key[layer.end():]}'


def _auglift_name(key: str, names: dict[str, str]) -> str | None:
    layer = _AUGLIFT_LAYER.match(key)
    if layer is None:
        return _fixed_name(key, names)
    stack, number, part = layer.groups()
    return f'backbone.{stack}.{number}.{_AUGLIFT_PARTS.get(part, part)}.{key[layer.end():]}'


def _count(weights: dict[str, Tensor], pattern: str) -> int:
    return sum(re.fullmatch(pattern, key) is not None for key in weights)
