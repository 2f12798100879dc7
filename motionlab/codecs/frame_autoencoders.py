"""Codecs of frames whose latents come from a trained autoencoder."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from motionlab.codecs.diffusers_autoencoder import DEEP, TINY, DiffusersAutoencoder
from motionlab.codecs.frame_autoencoder_network import FrameAutoencoderNetwork, assign_weights
from motionlab.codecs.frame_codecs import FrameCodec
from motionlab.registry import CODECS
from motionlab.utils import CheckpointError, ConfigError
from motionlab.utils.tensor_file import read_tensor_file

_BACKBONE = 'backbone.'  # Where a FrameAutoencoder keeps its network.

# Published DC-AE with 32 channels at 1/32: what latents are multiplied by, and the sizes of the network.
DC_AE_SCALING = {'sana-1.0': 0.41407, 'in-1.0': 0.3189, 'mix-1.0': 0.4552}
_DC_AE_BLOCKS = 3 * ('ResBlock',) + 3 * ('EfficientViTBlock',)
_DC_AE_SIZES = {'latent_channels': 32, 'encoder_block_types': _DC_AE_BLOCKS, 'decoder_block_types': _DC_AE_BLOCKS}
_DC_AE_SANA = {**_DC_AE_SIZES, 'downsample_block_type': 'conv', 'upsample_block_type': 'interpolate'}
_DC_AE_IN = {**_DC_AE_SIZES, 'encoder_layers_per_block': (0, 4, 8, 2, 2, 2), 'encoder_qkv_multiscales': 6 * ((),),
             'decoder_layers_per_block': (0, 5, 10, 2, 2, 2), 'decoder_qkv_multiscales': 6 * ((),),
             'decoder_norm_types': 3 * ('batch_norm',) + 3 * ('rms_norm',),
             'decoder_act_fns': 3 * ('relu',) + 3 * ('silu',)}
DC_AE_CONFIGS = {'sana-1.0': _DC_AE_SANA, 'in-1.0': _DC_AE_IN, 'mix-1.0': _DC_AE_IN}


@CODECS.register_module()
class TinyAutoencoder(FrameCodec):
    """TAESD and its kind (``diffusers.AutoencoderTiny``): 4 channels at 1/8, images in [-1, 1], scaling 1.

    Source: Ollin Boer Bohan, https://github.com/madebyollin/taesd (images in [-1, 1]: issue 18).

    Args:
        path: Folder that ``save_pretrained`` wrote, or a file of weights. None for sizes without weights.
        config: Arguments of ``AutoencoderTiny``; over those in the folder.
        decoder: Checkpoint of a :class:`motionlab.models.FrameAutoencoder` that tuned the decoder of this network.
        normalise: See :class:`FrameCodec`; without, latents are multiplied by the config's ``scaling_factor``.

    Raises:
        ConfigError: diffusers is not installed, or options contradict each other.
        CheckpointError: there are no such files, they are of another network, or ``decoder`` is made for other latents.
    """

    def __init__(self, path: str | Path | None = None, config: Mapping[str, object] | None = None,
                 decoder: str | Path | None = None, normalise: bool = False):
        network = DiffusersAutoencoder(TINY, path, config)
        shift = network.model.config.get('shift_factor', 0.0)
        if shift and not normalise:
            raise ConfigError(f'TinyAutoencoder: the config has shift_factor={shift}, expected 0. Set normalise=True.')
        _take_decoder(network, decoder)
        super().__init__(network, None if normalise else network.scaling_factor, normalise)


@CODECS.register_module()
class DeepCompressionAutoencoder(FrameCodec):
    """DC-AE (``diffusers.AutoencoderDC``): 32 channels at 1/32, images in [-1, 1].

    Latents are multiplied by the number of the published weights, which differs between them: 0.41407 of sana-1.0,
    0.3189 of in-1.0, 0.4552 of mix-1.0. Source: Chen et al., "Deep compression autoencoder for efficient
    high-resolution diffusion models", ICLR 2025.

    Args:
        path: Folder that ``save_pretrained`` wrote, or a file with the names of diffusers or of the authors. None for
            sizes without weights.
        variant: ``'sana-1.0'``, ``'in-1.0'`` or ``'mix-1.0'``; for a folder it need not be given.
        config: Arguments of ``AutoencoderDC``; over those of the folder or the variant.
        decoder: As for :class:`TinyAutoencoder`.
        normalise: See :class:`FrameCodec`; in place of the scaling.

    Raises:
        ConfigError: as :class:`TinyAutoencoder`; or the scaling is unknown, or the folder's is not the variant's.
        CheckpointError: as :class:`TinyAutoencoder`.
    """

    def __init__(self, path: str | Path | None = None, variant: str | None = None,
                 config: Mapping[str, object] | None = None, decoder: str | Path | None = None,
                 normalise: bool = False):
        if variant is not None and variant not in DC_AE_SCALING:
            raise ConfigError(f'DeepCompressionAutoencoder: found variant={variant!r}, expected one of '
                              f'{list(DC_AE_SCALING)}.')
        sizes = {} if path and Path(path).is_dir() else DC_AE_CONFIGS.get(variant, {})
        network = DiffusersAutoencoder(DEEP, path, {**sizes, **(config or {})})
        _take_decoder(network, decoder)
        super().__init__(network, None if normalise else _scaling(variant, network.scaling_factor), normalise)


@CODECS.register_module()
class ScratchAutoencoder(FrameCodec):
    """The autoencoder that :class:`motionlab.models.FrameAutoencoder` has trained on the game.

    Args:
        path: Its checkpoint, which tells the sizes as well. None for sizes without weights.
        config: Arguments of :class:`FrameAutoencoderNetwork`, without ``path``.
        normalise: See :class:`FrameCodec`. The spread of these latents is whatever training made of it.

    Raises:
        ConfigError: both ``path`` and ``config`` are given.
        CheckpointError: there is no such file, or it is of another network.
    """

    def __init__(self, path: str | Path | None = None, config: Mapping[str, object] | None = None,
                 normalise: bool = True):
        if path is None:
            with torch.device('meta'):
                network = FrameAutoencoderNetwork(**(config or {}))
        elif config is not None:
            raise ConfigError(f'ScratchAutoencoder: found path={str(path)!r} and a config; the checkpoint tells all '
                              'sizes, expected one of the two.')
        else:
            network = FrameAutoencoderNetwork.from_weights(_backbone_weights(path), path)
        super().__init__(network, None, normalise)


def _scaling(variant: str | None, found: float) -> float:
    """Of the variant, which must not contradict what the folder says; ConfigError where neither says anything."""
    expected = found if variant is None else DC_AE_SCALING[variant]
    if found not in (1.0, expected):
        raise ConfigError(f'DeepCompressionAutoencoder: the config has scaling_factor={found}, but variant={variant!r} '
                          f'needs {expected}. Leave variant out, or give the weights that it names.')
    if expected == 1.0:
        raise ConfigError('DeepCompressionAutoencoder: the config has no scaling_factor. Say which weights these are, '
                          f'variant={list(DC_AE_SCALING)}, or set normalise=True.')
    return expected


def _backbone_weights(path: str | Path) -> dict[str, Tensor]:
    """Weights of the network in a checkpoint of a FrameAutoencoder."""
    content = read_tensor_file(path)
    state = content.get('state_dict', content) if isinstance(content, dict) else {}
    found = {name.removeprefix(_BACKBONE): value for name, value in state.items() if name.startswith(_BACKBONE)}
    if not found:
        raise CheckpointError(f'{path}: holds no weights of a FrameAutoencoder (none begins with {_BACKBONE}).')
    return found


def _take_decoder(network: DiffusersAutoencoder, path: str | Path | None) -> None:
    """Replace the decoder by a tuned one, unless that was tuned for the latents of another encoder."""
    if path is None:
        return
    weights = _backbone_weights(path)
    own, other = network.model.state_dict(), {name.removeprefix('model.'): value for name, value in weights.items()}
    changed = [name for name, value in own.items() if name.startswith('encoder.') and not value.is_meta
               and not (name in other and torch.equal(value, other[name]))]
    if changed:
        raise CheckpointError(f'{path}: its decoder was tuned for another encoder: {len(changed)} weights of that '
                              f'differ, first {changed[0]}. Tune it with decoder_only=True.')
    assign_weights(network.model, {**own, **other}, path)
