"""Weights of the published game models: Sana's transformer with an encoder of past frames."""

import re

from torch import Tensor

from motionlab.apis.sources import Renamed, check_values, need
from motionlab.apis.sources.sana import NULL, add_heads, log, read_config, rename
from motionlab.utils import CheckpointError, ConfigError

SANA, ENCODER, RESIDUAL = 'sana.', 'history_encoder.', 'obs_residual.'
WORKFLOWS = ('latent', 'pixel')
COLOURS = 3
# What their wrapper is given and passes over: the channels follow from the encoder.
_PASSED_OVER = ('in_channels', 'out_channels', 'vae', 'seq_length')
_CONV = re.compile(r'conv_layers\.(\d+)\.weight')


def convert(weights: dict[str, Tensor], *, config: dict | None = None, workflow: str | None = None,
            num_heads: int | None = None, linear_head_dim: int | None = None,
            codec: dict | None = None) -> tuple[dict, Renamed]:
    """The game models of github.com/tahahah/Sana-fork, ``PacmanDiffusionModel``.

    The encoder's names tell its form, its shapes the number of frames, and both together the workflow: past latents
    merged into one, or pixels through an autoencoder (``workflow='pixel'``). The autoencoder that a file may hold
    (``vae.*``) is left out: it is the codec, which has its own file.

    Args:
        weights: The ``state_dict``.
        config: Values of the original's config, as for ``'sana'``; ``seq_length`` must be that of the weights.
        workflow: ``'latent'`` or ``'pixel'`` that the file must have, if given.
        num_heads: Heads of the cross attentions, unless config says; 16 published.
        linear_head_dim: Width of a head of the linear attentions, unless config says; 32 published.
        codec: Config of the codec: then the result is a whole :class:`motionlab.models.FramePredictor`.

    Raises:
        CheckpointError: the weights are of something else, not finite, or contradict what is given.
        ConfigError: the config asks for a form that there is not.
    """
    config = add_heads(config, num_heads, linear_head_dim)
    if workflow not in (None, *WORKFLOWS):
        raise ConfigError(f'found workflow={workflow!r}, expected one of {WORKFLOWS}.')
    encoder = {key.removeprefix(ENCODER): tensor for key, tensor in weights.items() if key.startswith(ENCODER)}
    history = _read_encoder(encoder)
    network = read_config(weights, {name: config[name] for name in config if name not in _PASSED_OVER}, SANA)
    found = _workflow(network, history)
    if workflow not in (None, found):
        raise CheckpointError(f'the weights are of the {found} workflow, not of workflow={workflow!r}.')
    pixel = found == 'pixel'
    frames = history.pop('num_frames')
    if config.get('seq_length') not in (None, frames + (not pixel)):
        raise CheckpointError(f'the weights are for {frames} past frames{" and the next one" if pixel else ""}, but '
                              f'config says seq_length={config["seq_length"]}.')
    channels = network['out_channels']
    sizes = dict(type='PixelDiT', latent_channels=channels) if pixel else dict(type='FrameDiT', in_channels=channels)
    backbone = dict(**sizes, num_history=frames - pixel, **_options(network), **history, action_embed='onehot',
                    num_actions=network['caption_channels'])
    if f'{RESIDUAL}weight' in weights and not pixel:
        backbone['obs_residual'] = True
    renamed = {f'dit.net.{ours}': found for ours, found in rename(weights, SANA).items()}
    renamed |= {f'{ENCODER}{name}': (f'{ENCODER}{name}', tensor) for name, tensor in encoder.items()}
    renamed |= {key: (key, tensor) for key, tensor in weights.items() if key.startswith(RESIDUAL) and not pixel}
    renamed |= _null(weights, backbone)
    check_values({ours: found for ours, found in renamed.items() if not ours.endswith('num_batches_tracked')})
    log(f'Pacman, {found} workflow: {backbone["history"]} of {frames} frames, {network["depth"]} blocks of width '
        f'{network["hidden_size"]}, {network["out_channels"]} channels')
    if codec is None:
        return backbone, renamed
    model = dict(type='FramePredictor', codec=codec, backbone=backbone, head=dict(type='FlowMatchingHead'))
    if pixel:
        model['workflow'] = 'pixel'
    return model, {f'backbone.{ours}': found for ours, found in renamed.items()}


def _read_encoder(weights: dict[str, Tensor]) -> dict:
    """Form and width of the encoder, and the frames that it takes; ``num_frames`` of conv2d is in channels so far."""
    if 'conv3d.0.weight' in weights:
        first, last = weights['conv3d.0.weight'], need(weights, 'conv2d.weight')
        if first.ndim != 5 or last.ndim != 4 or last.shape[1] % first.shape[0]:
            raise CheckpointError(f'{ENCODER}conv3d.0.weight has the shape {tuple(first.shape)} and conv2d.weight '
                                  f'{tuple(last.shape)}, expected (d, C, 3, 3, 3) and (C, d T, 3, 3).')
        return dict(history='conv3d', history_channels=first.shape[0], num_frames=last.shape[1] // first.shape[0],
                    norm='batch', merged=last.shape[0], frame=first.shape[1])
    convolutions = sorted((int(match[1]), tensor) for name, tensor in weights.items()
                          if (match := _CONV.fullmatch(name)) and tensor.ndim == 4)
    if len(convolutions) not in (2, 4):
        raise CheckpointError(f'no key matches this source: {ENCODER}* holds {len(convolutions)} convolutions and no '
                              'conv3d.0.weight, expected 2 or 4 conv_layers.')
    first, merged = convolutions[0][1], len(convolutions[-1][1])
    if first.shape[1] % merged:
        raise CheckpointError(f'{ENCODER}conv_layers takes {first.shape[1]} channels, expected frames of {merged}.')
    return dict(history=f'conv2d{len(convolutions)}', history_channels=first.shape[0],
                num_frames=first.shape[1] // merged, norm='batch', merged=merged, frame=merged)


def _workflow(network: dict, history: dict) -> str:
    """Whether the transformer is given noise beside the merged history, or the code of a merged picture."""
    merged, frame, given, made = (history.pop('merged'), history.pop('frame'), network['in_channels'],
                                  network['out_channels'])
    if merged == frame == made and given == 2 * made:
        return 'latent'
    if merged == frame == COLOURS and given == made:
        return 'pixel'
    raise CheckpointError(f'the encoder makes {merged} channels of frames of {frame}, and the transformer {made} of '
                          f'{given}; expected C of C and C of 2 C, or {COLOURS} of {COLOURS} and C of C.')


def _options(network: dict) -> dict:
    """Arguments of our backbones by the original's names."""
    names = {'hidden_size': 'embed_dim', 'num_heads': 'num_cross_heads', 'input_size': 'sample_size'}
    same = ('depth', 'linear_head_dim', 'mlp_ratio', 'patch_size', 'use_pe', 'pe_interpolation', 'qk_norm',
            'cross_norm', 'y_norm', 'norm_eps')
    return {names.get(name, name): value for name, value in network.items() if name in names or name in same}


def _null(weights: dict[str, Tensor], backbone: dict) -> Renamed:
    """The vectors that stand for dropped actions."""
    key, shape = f'{SANA}{NULL}', (backbone['num_history'], backbone['num_actions'])
    null = need(weights, key)
    if null.shape != shape:  # Training drops actions only where they agree; without it, they sample with zeros.
        log(f'{key} is {tuple(null.shape)}, which stands for no {shape[0]} actions: guidance uses zeros')
        null = null.new_zeros(shape)
    return {'tokens.null': (key, null)}
