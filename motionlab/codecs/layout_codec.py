"""Pictures, captions and references in; packed latents and embeddings out, and back."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as checkpointed

from motionlab.codecs import layout_batch as keys
from motionlab.codecs.base import Codec
from motionlab.codecs.image_range import check_frame_size, to_images, to_uint8
from motionlab.codecs.latent_packing import PATCH, image_ids, pack_latents, text_ids, unpack_latents
from motionlab.codecs.reference_crops import crop_boxes, fit_and_cut, squash
from motionlab.registry import CODECS
from motionlab.utils import ConfigError, DataError

VALUE_RANGE = (-1, 1)  # What autoencoders are fed.


@CODECS.register_module()
class LayoutCodec(Codec):
    """Three frozen parts: an autoencoder of images, encoders of references, encoders of captions.

    None is a submodule: their weights take no gradients, stay in evaluation mode, are in no checkpoint, are neither
    averaged nor sharded, and move with the codec from device to device. They run in their own precision whatever
    autocast says. Gradients go through them where what they are given asks for one.

    Latents are ``(z - shift) * scale`` of what the autoencoder gives for images in [-1, 1].

    Weights of large parts are read from disk when they are first needed: training on prepared latents and embeddings
    loads no text encoder, and without the identity loss no other either.

    Args:
        image: Config: ``DctImageCodec`` (default) or ``FluxAutoencoder``.
        references: Config: ``TinyReferenceEncoders`` (default) or ``ClipDinoReferences``.
        text: Config: ``WordEmbeddings`` (default) or ``FluxTextEncoders``.

    Attributes:
        in_channels: Of a token, 64: four times ``latent_channels``; as ``out_channels``.
        latent_channels: 16.
        factor: Pixels per latent position, along each side.
        size: S, side in px of the pictures that encoders of references take.
        clip_dim, dino_dim: Dc, Dd.
        text_tokens, text_dim, pooled_dim: L, Dt, Dp.

    Raises:
        ConfigError: the autoencoder has another number of channels than the family.
    """

    def __init__(self, image: dict | None = None, references: dict | None = None, text: dict | None = None):
        super().__init__()
        configs = {'image': image or {'type': 'DctImageCodec'},
                   'references': references or {'type': 'TinyReferenceEncoders'},
                   'text': text or {'type': 'WordEmbeddings'}}
        # In a dict, torch does not see submodules.
        self._place = torch.zeros(0)  # Tells the device; a buffer would be broadcast between processes.
        self._parts = {name: CODECS.build(config).eval().requires_grad_(False) for name, config in configs.items()}
        self.latent_channels, self.factor = self.image.latent_channels, self.image.factor
        if self.latent_channels != keys.LATENT_CHANNELS:
            raise ConfigError(f'LayoutCodec.image: {type(self.image).__name__} has {self.latent_channels} channels, '
                              f'expected {keys.LATENT_CHANNELS}.')
        self.in_channels = self.out_channels = self.latent_channels * PATCH ** 2
        self.size, self.clip_dim, self.dino_dim = (getattr(self.references, name)
                                                   for name in ('size', 'clip_dim', 'dino_dim'))
        self.text_tokens, self.text_dim, self.pooled_dim = (getattr(self.text, name)
                                                            for name in ('text_tokens', 'text_dim', 'pooled_dim'))

    @property
    def image(self) -> nn.Module:
        """The frozen autoencoder of images."""
        return self._parts['image']

    @property
    def references(self) -> nn.Module:
        """The frozen encoders of references."""
        return self._parts['references']

    @property
    def text(self) -> nn.Module:
        """The frozen encoders of captions."""
        return self._parts['text']

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> 'LayoutCodec':
        super()._apply(fn, recurse)
        if recurse:
            for part in self._parts.values():
                part._apply(fn)
            self._place = fn(self._place)
        return self

    @property
    def device(self) -> torch.device:
        """Where the parts are."""
        return self._place.device

    def describe(self) -> dict:
        """What decides about latents and embeddings, as plain data: arguments of
        :func:`motionlab.datasets.layout_meta.make_layout_meta`."""
        scale, shift = (_plain(value) for value in (self.image.scale, self.image.shift))
        return {'vae': {'id': self.image.id, 'scale': scale, 'shift': shift, 'value_range': list(VALUE_RANGE),
                        'factor': self.factor},
                'clip': self.references.clip_id, 'dino': self.references.dino_id, 'text': self.text.id,
                'dims': {'latent_channels': self.latent_channels, 'clip': self.clip_dim, 'dino': self.dino_dim,
                         'text_tokens': self.text_tokens, 'text': self.text_dim, 'pooled': self.pooled_dim}}

    # ---- images -----------------------------------------------------------------------------------------------

    def check_size(self, height: int, width: int, source: object = 'images') -> tuple[int, int]:
        """Latent size (h, w) of images (height, width).

        Raises:
            DataError: a side is no multiple of the pixels of a token; the nearest valid size is named.
        """
        check_frame_size(height, width, self.factor * PATCH, source)
        return height // self.factor, width // self.factor

    def encode_images(self, images: Tensor) -> Tensor:
        """Images -> latents (B, 16, h, w), float32.

        Args:
            images: uint8 (B, H, W, 3) RGB, or floating (B, 3, H, W) in [-1, 1].

        Raises:
            DataError: another type, shape, size or range.
        """
        images = to_images(images)                                                         # (B, 3, H, W)
        self.check_size(*images.shape[-2:])
        z = self._run(self.image.encode, images)
        return (z - self.image.shift) * self.image.scale

    def decode_latents(self, latents: Tensor, checkpoint: bool = False) -> Tensor:
        """Latents (B, 16, h, w) -> images (B, 3, H, W), float32, about [-1, 1].

        Nothing is clamped, so a gradient reaches latents everywhere.

        Args:
            latents: What the model predicts.
            checkpoint: Compute the decoder's activations again in the backward pass instead of keeping them.

        Raises:
            DataError: another shape.
        """
        if latents.ndim != 4 or latents.shape[1] != self.latent_channels:
            raise DataError('latents', 'shape', tuple(latents.shape), f'(B, {self.latent_channels}, h, w)')
        z = latents.float() / self.image.scale + self.image.shift
        if checkpoint and torch.is_grad_enabled() and z.requires_grad:
            return checkpointed(self._run, self.image.decode, z, use_reentrant=False)
        return self._run(self.image.decode, z)

    to_uint8 = staticmethod(to_uint8)

    # ---- tokens -----------------------------------------------------------------------------------------------

    @staticmethod
    def pack(latents: Tensor) -> Tensor:
        """(B, 16, h, w) -> (B, T, 64): :func:`motionlab.codecs.latent_packing.pack_latents`."""
        return pack_latents(latents)

    @staticmethod
    def unpack(tokens: Tensor, height: int, width: int) -> Tensor:
        """(B, T, 64) -> (B, 16, h, w) of latents (height, width)."""
        return unpack_latents(tokens, height, width)

    @staticmethod
    def image_ids(height: int, width: int, device: torch.device | str = 'cpu') -> Tensor:
        """(T, 3) position ids of latents (height, width)."""
        return image_ids(height, width, device)

    @staticmethod
    def text_ids(num_tokens: int, device: torch.device | str = 'cpu') -> Tensor:
        """(L, 3) position ids of a caption, zero."""
        return text_ids(num_tokens, device)

    # ---- references and captions ------------------------------------------------------------------------------

    def crop_boxes(self, images: Tensor, boxes: Tensor, size: int | None = None) -> Tensor:
        """Cut a box out of each image as references were: (M, 3, H, W), (M, 4) -> (M, 3, S, S), differentiable."""
        with torch.autocast(images.device.type, enabled=False):  # References were not cut out in half precision.
            return crop_boxes(images, boxes, size or self.size)

    def encode_clip(self, crops: Tensor) -> Tensor:
        """(M, 3, S, S) in [0, 1] -> (M, Dc) of length 1, float32."""
        return self._run(self.references.encode_clip, crops)

    def encode_dino(self, crops: Tensor) -> Tensor:
        """(M, 3, S, S) in [0, 1] -> (M, Dd) of length 1, float32; differentiable."""
        return self._run(self.references.encode_dino, crops)

    def encode_references(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Square pictures (M, 3, S, S) in [0, 1] -> CLIP (M, Dc) and DINO (M, Dd) embeddings.

        Pictures that are not square have two crops: :meth:`encode_pictures`.
        """
        return self.encode_clip(crops), self.encode_dino(crops)

    @torch.no_grad()
    def encode_pictures(self, pictures: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
        """Reference pictures or crops of any size -> CLIP (M, Dc) and DINO (M, Dd) embeddings.

        For CLIP the shorter side is brought to S and the middle cut out, for DINO the picture is squashed.

        Args:
            pictures: uint8 RGB (h, w, 3).

        Raises:
            DataError: not uint8 RGB, or empty.
        """
        return (self.encode_clip(fit_and_cut(pictures, self.size).to(self.device)),
                self.encode_dino(squash(pictures, self.size).to(self.device)))

    @torch.no_grad()
    def encode_text(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Captions -> tokens (B, L, Dt) and pooled (B, Dp), float32.

        Raises:
            DataError: a caption is empty.
        """
        text, pooled = self.text.encode_text(_checked(captions))
        return text.float(), pooled.float()

    @torch.no_grad()
    def caption_contents(self, captions: Sequence[str]) -> list[dict[str, Tensor | str]]:
        """What a file of ``latents/text_embeddings`` holds of each caption: both encoders' states and poolings, and
        under ``text_embeddings``, ``pooled_embeddings`` and ``global_caption`` what older files hold."""
        return [{**content, 'text_embeddings': content['t5_text_embeddings'],
                 'pooled_embeddings': content['clip_pooled_embeddings'], 'global_caption': caption}
                for caption, content in zip(captions, self.text.caption_contents(_checked(captions)))]

    # ---- the contract of codecs -------------------------------------------------------------------------------

    def encode(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The batch with ``latents`` (those it has, or those of its ``images``) and packed as ``inputs`` (B, T, 64).

        Raises:
            DataError: it has neither, or their shapes are wrong.
        """
        if not {keys.LATENTS, keys.IMAGES} & batch.keys():
            raise DataError('batch', f'{keys.LATENTS} or {keys.IMAGES}', f'only {sorted(batch)}', 'one of them')
        latents = batch[keys.LATENTS].float() if keys.LATENTS in batch else self.encode_images(batch[keys.IMAGES])
        return {**batch, keys.LATENTS: latents, 'inputs': pack_latents(latents)}

    def decode(self, output: Tensor) -> Tensor:
        """Latents (B, 16, h, w) -> images (B, 3, H, W), clamped to [-1, 1]."""
        return self.decode_latents(output).clamp(-1, 1)

    def _run(self, step: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
        """Run ``step`` of a part in its own precision; float32."""
        with torch.autocast(values.device.type, enabled=False):
            return step(values.to(step.__self__.dtype)).float()


def _checked(captions: Sequence[str]) -> list[str]:
    for row, caption in enumerate(captions):
        if not isinstance(caption, str) or not caption.strip():
            raise DataError('caption', str(row), repr(caption), 'a text that is not empty')
    return list(captions)


def _plain(value: Tensor) -> float | list[float]:
    flat = [round(number, 6) for number in value.flatten().tolist()]
    return flat[0] if len(flat) == 1 else flat
