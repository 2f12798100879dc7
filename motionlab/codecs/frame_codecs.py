"""RGB frames in, latents of a frozen autoencoder out, and back."""

import json
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from motionlab.codecs import frame_batch as keys
from motionlab.codecs.base import Codec
from motionlab.codecs.image_range import check_frame_size, to_images, to_uint8
from motionlab.codecs.latent_statistics import LatentStatistics
from motionlab.registry import CODECS
from motionlab.utils import ConfigError, DataError
from motionlab.utils.tensor_hash import tensors_hash

_PREPROCESSING = 'RGB uint8 / 127.5 - 1'
_PIXELS_AT_ONCE = 2 ** 23  # 128 frames of 256 x 256: bounds the memory of a network's first layers.


class FrameCodec(Codec):
    """Frames <-> latents by a network that is never trained here.

    The network is no submodule: its weights take no gradients, stay in evaluation mode, are in no checkpoint, are not
    averaged, and move with the codec from device to device. It runs in its own precision whatever autocast says, so
    that training, caches and evaluation see the same latents. Network images are in [-1, 1].

    Three kinds of latents: what the network gives (raw; what a latent cache holds and :meth:`content_hash` stands
    for), and what the model trains on (normalised, ``(raw - mean) / std`` per channel or ``raw * scaling_factor``).
    ``history_latents`` and ``target_latents`` of a *batch* are raw; :meth:`encode` gives them normalised.

    Args:
        network: Has ``encode(images (N, 3, H, W)) -> (N, C, h, w)``, ``decode`` back, ``encoder`` (a module; the
            weights that decide about latents), ``encoder_config`` (plain data: what else decides), ``latent_channels``
            and ``factor``. Where its weights are on the meta device it has none: the codec knows its sizes only.
        scaling_factor: Without ``normalise``: what raw latents are multiplied by, about 1 / their deviation.
        normalise: Mean and deviation of every channel from the training set, by
            :class:`motionlab.engine.hooks.CodecStatisticsHook`.

    Attributes:
        latent_channels: C = ``in_channels`` = ``out_channels``.
        factor: Pixels per latent position, along each side.

    Raises:
        ConfigError: ``scaling_factor`` is not positive, or given beside ``normalise``.
    """

    def __init__(self, network: nn.Module, scaling_factor: float | None = None, normalise: bool = False):
        super().__init__()
        if scaling_factor is not None and (normalise or not scaling_factor > 0):
            raise ConfigError(f'{type(self).__name__}: found scaling_factor={scaling_factor}, normalise={normalise}; '
                              'expected a positive number, or None with normalise=True.')
        self._frozen = [network.eval().requires_grad_(False)]  # In a list, torch does not see a submodule.
        self.factor, self.latent_channels = network.factor, network.latent_channels
        self.in_channels = self.out_channels = self.latent_channels
        self.scaling_factor = 1.0 if scaling_factor is None else float(scaling_factor)
        self.statistics = LatentStatistics(self.latent_channels) if normalise else None

    @property
    def network(self) -> nn.Module:
        """The frozen network. Its own ``encode`` and ``decode`` check no range and clamp nothing."""
        return self._frozen[0]

    @property
    def has_weights(self) -> bool:
        """Whether frames can be encoded and decoded; without, only sizes are known."""
        return not any(weight.is_meta for weight in self.network.parameters())

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> 'FrameCodec':
        super()._apply(fn, recurse)
        if recurse and self.has_weights:
            self.network._apply(fn)
        return self

    def check_size(self, height: int, width: int, source: object = 'frames') -> tuple[int, int]:
        """Latent size (h, w) of frames (height, width); :class:`DataError` as :func:`check_frame_size`."""
        check_frame_size(height, width, self.factor, source)
        return height // self.factor, width // self.factor

    def to_images(self, frames: Tensor) -> Tensor:
        """Frames -> (..., 3, H, W) in [-1, 1].

        Args:
            frames: uint8 (..., H, W, 3), RGB; or floating (..., 3, H, W) that is in [-1, 1] already.

        Raises:
            DataError: another type, shape, size or range.
        """
        images = to_images(frames)
        self.check_size(*images.shape[-2:])
        return images

    @staticmethod
    def to_uint8(images: Tensor) -> Tensor:
        """(..., 3, H, W) in [-1, 1] -> uint8 (..., H, W, 3); values beyond are clamped, halves rounded to even."""
        return to_uint8(images)

    def encode_frames(self, frames: Tensor) -> Tensor:
        """Frames as in :meth:`to_images` -> normalised latents (..., C, h, w), float32.

        Raises:
            DataError: as :meth:`to_images`.
            ConfigError: statistics are needed and not fitted.
        """
        return self.normalise(self.raw_latents(frames))

    def decode_frames(self, latents: Tensor) -> Tensor:
        """Normalised latents (..., C, h, w) -> images (..., 3, H, W), float32 in [-1, 1] (clamped)."""
        self._check_latents('latents', latents)
        return self._run(self.network.decode, self.denormalise(latents.float()), self.factor ** 2).clamp(-1, 1)

    def raw_latents(self, frames: Tensor) -> Tensor:
        """Frames as in :meth:`to_images` -> latents (..., C, h, w) as the network gives them, float32.

        This is what a latent cache holds. Raises as :meth:`to_images`.
        """
        return self._run(self.network.encode, self.to_images(frames), 1)

    def normalise(self, raw: Tensor) -> Tensor:
        """Raw latents (..., C, h, w) -> what the model trains on; ConfigError where statistics are not fitted."""
        return raw * self.scaling_factor if self.statistics is None else self.statistics.normalise(raw)

    def denormalise(self, latents: Tensor) -> Tensor:
        """Inverse of :meth:`normalise`."""
        return latents / self.scaling_factor if self.statistics is None else self.statistics.denormalise(latents)

    def encode(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The batch with ``history_latents`` and ``target_latents``, normalised.

        Args:
            batch: Of :mod:`motionlab.codecs.frame_batch`; frames are only encoded where it holds no (raw) latents.
                Without targets there are none in the result. Not changed.

        Raises:
            DataError: frames or latents of another type, shape, size or range.
            ConfigError: statistics are needed and not fitted.
        """
        encoded = dict(batch)
        for latents, frames in ((keys.HISTORY_LATENTS, keys.HISTORY), (keys.TARGET_LATENTS, keys.TARGET)):
            if latents in batch or frames in batch:
                encoded[latents] = self.normalise(self._raw(batch, latents, frames))
        return encoded

    def decode(self, output: Tensor) -> Tensor:
        """:meth:`decode_frames`."""
        return self.decode_frames(output)

    @property
    def needs_fit(self) -> bool:
        """Whether :meth:`fit` must see training data, or a checkpoint be loaded, before :meth:`encode` can work."""
        return self.statistics is not None and not self.statistics.is_fitted

    @torch.no_grad()
    def fit(self, batches: Iterable[dict[str, Tensor]]) -> None:
        """Take mean and deviation of the channels from the targets of raw batches; from histories where there are none.

        Raises:
            ConfigError: ``normalise`` is off.
            DataError: as :meth:`encode`, or there is nothing to learn from.
        """
        if self.statistics is None:
            super().fit(batches)
        self.statistics.fit(
            self._raw(batch, *((keys.TARGET_LATENTS, keys.TARGET) if {keys.TARGET_LATENTS, keys.TARGET} & batch.keys()
                               else (keys.HISTORY_LATENTS, keys.HISTORY))) for batch in batches)

    def content_hash(self) -> str:
        """16 hexadecimal digits for all that decides about raw latents: class, config, encoder weights, preprocessing.

        The decoder has no part in it: caches stay valid when it alone is tuned. Nor have normalisation and device.
        ConfigError where there are no weights.
        """
        self._require_weights()
        header = json.dumps([type(self).__name__, self.network.encoder_config, _PREPROCESSING], sort_keys=True)
        return tensors_hash(sorted(self.network.encoder.state_dict().items()), header)

    def _raw(self, batch: dict[str, Tensor], latents: str, frames: str) -> Tensor:
        if latents not in batch:
            return self.raw_latents(batch[frames])
        self._check_latents(latents, batch[latents])
        return batch[latents].float()

    def _check_latents(self, name: str, latents: Tensor) -> None:
        if latents.ndim < 3 or latents.shape[-3] != self.latent_channels or not latents.is_floating_point():
            raise DataError('latents', name, f'{latents.dtype} {tuple(latents.shape)}',
                            f'floats (..., {self.latent_channels}, h, w)', f'The codec is {type(self).__name__}.')

    def _require_weights(self) -> None:
        if not self.has_weights:
            raise ConfigError(f'{type(self).__name__}: has sizes but no weights. Set codec.path to them, e.g. '
                              '--cfg-options model.codec.path=FOLDER.')

    def _run(self, step: Callable[[Tensor], Tensor], values: Tensor, area: int) -> Tensor:
        """Run ``step`` over (..., c, a, b) in parts, one position standing for ``area`` pixels; float32."""
        self._require_weights()
        dtype = next((weight.dtype for weight in self.network.parameters()), torch.float32)
        flat = values.reshape(-1, *values.shape[-3:]).to(dtype)                            # (N, c, a, b)
        count = max(1, _PIXELS_AT_ONCE // max(1, area * flat.shape[-1] * flat.shape[-2]))
        with torch.autocast(flat.device.type, enabled=False):
            parts = [step(part) for part in flat.split(count)]
        result = parts[0] if len(parts) == 1 else torch.cat(parts)
        return result.float().reshape(*values.shape[:-3], *result.shape[1:])


class PixelBlocks(nn.Module):
    """Rearranges every p x p block of pixels into channels; nothing is learned.

    Args:
        patch: p.
    """

    def __init__(self, patch: int):
        super().__init__()
        self.factor, self.latent_channels, self.encoder_config = patch, 3 * patch ** 2, {'patch': patch}
        self.encoder, self.decoder = nn.PixelUnshuffle(patch), nn.PixelShuffle(patch)

    def encode(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3 p^2, H / p, W / p)."""
        return self.encoder(images)

    def decode(self, latents: Tensor) -> Tensor:
        """Inverse of :meth:`encode`."""
        return self.decoder(latents)


@CODECS.register_module()
class SpaceToDepth(FrameCodec):
    """The pixels themselves, p x p of them per position: exact, and without weights.

    Channel 3 p^2 order is (colour, row, column). 64 px and p = 4 give 48 channels of 16 x 16.

    Args:
        patch: p.
        scaling_factor: See :class:`FrameCodec`.
        normalise: See :class:`FrameCodec`.

    Raises:
        ConfigError: ``patch`` is below 1, or as :class:`FrameCodec`.
    """

    def __init__(self, patch: int = 4, scaling_factor: float | None = None, normalise: bool = False):
        if patch < 1:
            raise ConfigError(f'SpaceToDepth.patch: found {patch}, expected a positive number.')
        super().__init__(PixelBlocks(patch), scaling_factor, normalise)
