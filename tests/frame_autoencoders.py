"""Autoencoders of the real classes and file formats, small and random."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from motionlab.registry import MODELS

TINY = dict(encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8), num_encoder_blocks=(1, 1),
            num_decoder_blocks=(1, 1))
_RES_VIT = ('ResBlock', 'ResBlock', 'EfficientViTBlock')
# The two layouts of DC-AE: without blocks at full size and with batch norm, as in-1.0; and with them, as sana-1.0.
DEEP_IN = dict(latent_channels=4, attention_head_dim=2, encoder_block_types=_RES_VIT, decoder_block_types=_RES_VIT,
               encoder_block_out_channels=(4, 8, 8), decoder_block_out_channels=(4, 8, 8),
               encoder_layers_per_block=(0, 1, 1), decoder_layers_per_block=(0, 1, 1),
               encoder_qkv_multiscales=((), (), ()), decoder_qkv_multiscales=((), (), ()),
               decoder_norm_types=('batch_norm', 'batch_norm', 'rms_norm'), decoder_act_fns=('relu', 'relu', 'silu'))
DEEP_SANA = dict(latent_channels=4, attention_head_dim=2, encoder_block_types=_RES_VIT[1:],
                 decoder_block_types=_RES_VIT[1:], encoder_block_out_channels=(4, 8),
                 decoder_block_out_channels=(4, 8), encoder_layers_per_block=(1, 1), decoder_layers_per_block=(1, 1),
                 encoder_qkv_multiscales=((), (5,)), decoder_qkv_multiscales=((), (5,)), downsample_block_type='conv',
                 upsample_block_type='interpolate')


def make_autoencoder(kind: str, options: Mapping, seed: int = 0) -> nn.Module:
    """A diffusers autoencoder whose weights, running statistics included, all have an effect; evaluation mode."""
    diffusers = pytest.importorskip('diffusers')
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = getattr(diffusers, kind)(**options).eval()
        with torch.no_grad():
            for value in model.state_dict().values():
                if value.ndim == 1:
                    value.add_(0.3 * torch.rand_like(value))
    return model


def save_autoencoder(folder: Path, kind: str, options: Mapping, seed: int = 0) -> Path:
    """The folder that ``save_pretrained`` writes."""
    make_autoencoder(kind, options, seed).save_pretrained(folder)
    return folder


def to_authors_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A DC-AE's weights under the names of its authors' code: the inverse of diffusers' own conversion."""
    shortcut = 'encoder.conv_in.conv.weight' in weights  # The in-1.0 layout.
    found = {}
    for name, value in weights.items():
        if name.rpartition('.')[0].endswith(('to_k', 'to_v')):
            continue
        if '.to_q.' in name:
            parts = [weights[name.replace('to_q', f'to_{letter}')] for letter in 'qkv']
            found[_authors_name(name.replace('to_q', 'qkv.conv'), shortcut)] = torch.cat(parts)[..., None, None]
        elif '.to_out.' in name:
            found[_authors_name(name.replace('to_out', 'proj.conv'), shortcut)] = value[..., None, None]
        elif name.startswith(('encoder.conv_in', 'decoder.conv_out')):
            end, leaf = name.split('.')[0], name.rpartition('.')[2]
            layer = 'project_in.conv' if end == 'encoder' else 'project_out.op_list.2.conv'
            found[f'{end}.{layer}{".conv" if shortcut else ""}.{leaf}'] = value
        else:
            found[_authors_name(name, shortcut)] = value
    return found


def _authors_name(name: str, shortcut: bool) -> str:
    ends = {'encoder.conv_out': 'encoder.project_out.main.op_list.0.conv',
            'decoder.conv_in': 'decoder.project_in.main.conv', 'decoder.norm_out': 'decoder.project_out.op_list.0'}
    for ours, theirs in ends.items():
        if name.startswith(f'{ours}.'):
            return theirs + name.removeprefix(ours)
    side, _, stage, block, *rest = name.split('.')
    inner = '.'.join(rest[:-1])
    blocks = {  # What stands in a block -> the authors' name of it.
        'conv1': 'main.conv1.conv', 'conv2': 'main.conv2.conv', 'norm': 'main.conv2.norm',
        'attn.qkv.conv': 'context_module.main.qkv.conv', 'attn.proj.conv': 'context_module.main.proj.conv',
        'attn.norm_out': 'context_module.main.proj.norm',
        'attn.to_qkv_multiscale.0.proj_in': 'context_module.main.aggreg.0.0',
        'attn.to_qkv_multiscale.0.proj_out': 'context_module.main.aggreg.0.1',
        'conv_out.conv_inverted': 'local_module.main.inverted_conv.conv',
        'conv_out.conv_depth': 'local_module.main.depth_conv.conv',
        'conv_out.conv_point': 'local_module.main.point_conv.conv',
        'conv_out.norm': 'local_module.main.point_conv.norm',
        'conv': 'main.conv' if side == 'encoder' and not shortcut else 'main.conv.conv'}
    return f'{side}.stages.{stage}.op_list.{block}.{blocks[inner]}.{rest[-1]}'


def autoencoder_config(**options) -> dict:
    """A FrameAutoencoder with two halvings and 4 channels; ``options`` go to the model."""
    return dict(type='FrameAutoencoder', codec=dict(type='SpaceToDepth', patch=1),
                backbone=dict(type='FrameAutoencoderNetwork', latent_channels=4, widths=(8, 12)),
                head=dict(type='FrameReconstructionHead')) | options


def save_trained(path: Path, seed: int = 0, **options) -> Path:
    """A checkpoint of :func:`autoencoder_config` whose weights all have an effect."""
    torch.manual_seed(seed)
    model = MODELS.build(autoencoder_config(**options))
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.05 * torch.randn_like(weight))  # Blocks begin as the identity.
    torch.save({'meta': {}, 'state_dict': model.state_dict()}, path)
    return path


def pictures(*shape: int, seed: int = 0) -> Tensor:
    """uint8 (*shape, 3), e.g. of the shape (B, H, W)."""
    return torch.randint(256, (*shape, 3), generator=torch.Generator().manual_seed(seed)).to(torch.uint8)
