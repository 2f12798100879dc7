"""Autoencoders of the diffusers package, read from local files."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from motionlab.codecs.frame_autoencoder_network import assign_weights
from motionlab.registry import BACKBONES
from motionlab.utils import CheckpointError, ConfigError, need_package
from motionlab.utils.tensor_file import read_tensor_file

TINY, DEEP = 'AutoencoderTiny', 'AutoencoderDC'
_CONFIG = 'config.json'
_WEIGHTS = ('diffusion_pytorch_model.safetensors', 'diffusion_pytorch_model.bin')
_ENCODER_OPTIONS = {  # Options that decide about latents; the others belong to the decoder, or to what comes after.
    TINY: ('in_channels', 'encoder_block_out_channels', 'act_fn', 'latent_channels', 'num_encoder_blocks'),
    DEEP: ('in_channels', 'latent_channels', 'attention_head_dim', 'encoder_block_types', 'encoder_block_out_channels',
           'encoder_layers_per_block', 'encoder_qkv_multiscales', 'downsample_block_type', 'encoder_out_shortcut')}
_NO_OPTION = {TINY: ('block_out_channels',), DEEP: ()}  # What diffusers writes into a config and does not take.
_WRAPPERS = ('state_dict', 'model', 'module')  # Under which trainers keep weights.


@BACKBONES.register_module()
class DiffusersAutoencoder(nn.Module):
    """An ``AutoencoderTiny`` (TAESD) or ``AutoencoderDC`` (DC-AE); both take and give images in [-1, 1].

    Nothing is fetched from anywhere, and nothing in the files is executed.

    Args:
        kind: ``'AutoencoderTiny'`` or ``'AutoencoderDC'``.
        path: Folder that ``save_pretrained`` wrote; or a file of weights, for which ``config`` tells the sizes. Files
            of DC-AE may have the names of its authors, in either of their layouts. None for sizes without weights.
        config: Arguments of the diffusers class; over those in the folder.
        in_channels: 3, of RGB.

    Attributes:
        model: The diffusers module, with ``encoder`` and ``decoder``.
        latent_channels: C.
        factor: Pixels per latent position, along each side.
        out_channels: As ``in_channels``.
        scaling_factor: What the config says that latents are multiplied by; 1 where it says nothing.
        encoder_config: Options that decide about latents.

    Raises:
        ConfigError: diffusers is not installed, options are not those of the class, or contradict each other.
        CheckpointError: there are no such files, or the weights are of another network.
    """

    def __init__(self, kind: str = TINY, path: str | Path | None = None, config: Mapping[str, object] | None = None,
                 in_channels: int = 3):
        super().__init__()
        if kind not in _ENCODER_OPTIONS:
            raise ConfigError(f'DiffusersAutoencoder: found kind={kind!r}, expected one of {list(_ENCODER_OPTIONS)}.')
        model_class = getattr(need_package('diffusers', 'sana'), kind)
        options = {**(_read_config(kind, Path(path)) if path and Path(path).is_dir() else {}), **(config or {})}
        try:
            with torch.device('meta'):  # Weights come from the file: there is nothing to initialise.
                self.model = model_class(**options)
        except (TypeError, ValueError, IndexError) as error:
            raise ConfigError(f'DiffusersAutoencoder: {kind} cannot be built from {options}: {error}') from error
        self.in_channels = self.out_channels = self.model.config.in_channels
        if in_channels != 3 or self.in_channels != 3:
            raise ConfigError(f'DiffusersAutoencoder: found {in_channels} and {self.in_channels} channels of images, '
                              'expected 3, of RGB.')
        self.latent_channels = self.model.config.latent_channels
        self.factor = _factor(self.model.config)
        self.scaling_factor = float(self.model.config.scaling_factor)
        self.encoder_config = {name: _plain(self.model.config[name]) for name in _ENCODER_OPTIONS[kind]}
        if path is not None:
            assign_weights(self.model, _read_weights(Path(path)), path)

    @property
    def encoder(self) -> nn.Module:
        """The part whose weights decide about latents."""
        return self.model.encoder

    @property
    def decoder(self) -> nn.Module:
        """The part that may be tuned without any effect on latents."""
        return self.model.decoder

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> 'DiffusersAutoencoder':
        try:
            return super()._apply(fn, recurse)
        except NotImplementedError as error:  # Weights on the meta device go nowhere.
            raise ConfigError('DiffusersAutoencoder: has sizes but no weights. Set path to them, e.g. --cfg-options '
                              'model.backbone.path=FOLDER.') from error

    def encode(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> (N, C, h, w), not scaled."""
        return self.model.encode(images, return_dict=False)[0]

    def decode(self, latents: Tensor) -> Tensor:
        """(N, C, h, w), not scaled -> (N, 3, H, W), about [-1, 1]."""
        return self.model.decode(latents, return_dict=False)[0]

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> its reconstruction."""
        return self.decode(self.encode(images))


def _factor(config: Mapping[str, object]) -> int:
    """Halvings: one between two stages in both families."""
    return 2 ** (len(config['encoder_block_out_channels']) - 1)


def _plain(value: object) -> object:
    """Tuples as lists, at any depth, as JSON has them."""
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _read_config(kind: str, folder: Path) -> dict[str, object]:
    """Options in a folder's config.json."""
    path = folder / _CONFIG
    if not path.is_file():
        raise CheckpointError(f'{folder}: no {_CONFIG} here, expected a folder that save_pretrained wrote.')
    try:
        found = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise CheckpointError(f'{path}: cannot be read as JSON: {error}') from error
    if not isinstance(found, dict) or found.get('_class_name', kind) != kind:
        described = found.get('_class_name') if isinstance(found, dict) else type(found).__name__
        raise CheckpointError(f'{path}: describes a {described}, expected {kind}.')
    return {name: value for name, value in found.items() if not name.startswith('_') and name not in _NO_OPTION[kind]}


def _read_weights(path: Path) -> dict[str, Tensor]:
    """Weights under the names of diffusers."""
    if path.is_dir():
        found = [path / name for name in _WEIGHTS if (path / name).is_file()]
        if not found:
            raise CheckpointError(f'{path}: none of {", ".join(_WEIGHTS)} is here.')
        path = found[0]
    weights = read_tensor_file(path)
    for name in _WRAPPERS:
        if isinstance(weights, dict) and isinstance(weights.get(name), dict):
            weights = weights[name]
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise CheckpointError(f'{path}: holds no dict of weights.')
    if any(name.startswith('encoder.stages.') for name in weights):  # As the authors of DC-AE name them.
        single_file = need_package('diffusers.loaders.single_file_utils', 'sana')
        return single_file.convert_autoencoder_dc_checkpoint_to_diffusers(dict(weights))
    return weights
