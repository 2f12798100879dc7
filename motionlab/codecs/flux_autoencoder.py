"""The autoencoder of FLUX, read from local files through diffusers."""

from pathlib import Path

import torch
from torch import Tensor, nn

from motionlab.codecs.lazy_networks import LazyNetworks, need_path
from motionlab.registry import CODECS
from motionlab.utils import CheckpointError, need_package
from motionlab.utils.pretrained_folder import CONFIG, read_config, read_network

_CLASS = 'AutoencoderKL'
_HINT = f'Expected is the folder vae of a FLUX model: {CONFIG} and weights in safetensors.'
_SCALE, _SHIFT = 0.3611, 0.1159  # Of FLUX.1-dev and FLUX.1-schnell.
_CHANNELS, _FACTOR = 16, 8


@CODECS.register_module()
class FluxAutoencoder(LazyNetworks):
    """``AutoencoderKL`` with 16 channels. Images are encoded to the mean, never to a random sample.

    Args:
        path: Folder that ``save_pretrained`` wrote: ``vae`` of a FLUX model, or the model's own folder. None for sizes
            without weights: enough to train on prepared latents.
        dtype: Of the weights. ``'float16'`` overflows in FLUX's decoder.
        name: Of the weights; data prepared with others is refused.

    Attributes:
        id: ``name``.
        latent_channels: 16.
        factor: Pixels per latent position, 8.
        scale, shift: Latents are ``(z - shift) * scale``: what the folder says, or FLUX's 0.3611 and 0.1159.

    Raises:
        ConfigError: another ``dtype``; when weights are needed: there is no path, or diffusers is not installed.
        CheckpointError: the folder holds something else.
    """

    def __init__(self, path: str | Path | None = None, dtype: str = 'float32',
                 name: str = 'black-forest-labs/FLUX.1-dev'):
        super().__init__(dtype)
        self.id = name
        self.path = None if path is None else _folder(Path(path))
        options = {} if path is None else _options(self.path)
        self.latent_channels = int(options.get('latent_channels', _CHANNELS))
        blocks = options.get('block_out_channels')
        self.factor = _FACTOR if blocks is None else 2 ** (len(blocks) - 1)
        for field, value in (('scale', options.get('scaling_factor', _SCALE)),
                             ('shift', options.get('shift_factor', _SHIFT))):
            self.register_buffer(field, torch.tensor(float(value)), persistent=False)

    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] -> (B, 16, H/8, W/8), not scaled."""
        return self._model().encode(images, return_dict=False)[0].mode()

    def decode(self, latents: Tensor) -> Tensor:
        """(B, 16, h, w), not scaled -> (B, 3, 8h, 8w), about [-1, 1]."""
        return self._model().decode(latents, return_dict=False)[0]

    def _model(self) -> nn.Module:
        need_path(self, 'codec.image.path', self.path)
        return self.network('vae', lambda: read_network(getattr(need_package('diffusers', 'flux'), _CLASS), self.path,
                                                        _HINT, torch_dtype=self.dtype))


def _folder(path: Path) -> Path:
    return path / 'vae' if not (path / CONFIG).is_file() and (path / 'vae').is_dir() else path


def _options(path: Path) -> dict:
    options = read_config(path, _HINT)
    if options.get('_class_name', _CLASS) != _CLASS:
        raise CheckpointError(f'{path}: describes a {options["_class_name"]}, expected {_CLASS}. {_HINT}')
    absent = [key for key in ('scaling_factor', 'shift_factor') if not isinstance(options.get(key), int | float)]
    if absent:
        raise CheckpointError(f'{path}: {CONFIG}: {absent[0]}: found {options.get(absent[0])!r}, expected a number: '
                              f'latents cannot be scaled without. {_HINT}')
    return options
