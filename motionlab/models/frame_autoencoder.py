"""Training the autoencoder of a game, or only the decoder of a trained one."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from motionlab.codecs import frame_batch as keys
from motionlab.codecs.image_range import check_frame_size
from motionlab.models.base_task_model import BaseTaskModel
from motionlab.registry import MODELS
from motionlab.utils import DataError


@MODELS.register_module()
class FrameAutoencoder(BaseTaskModel):
    """Frames to latents and back; :class:`motionlab.codecs.ScratchAutoencoder` makes a codec of the result.

    Batches are those of :mod:`motionlab.codecs.frame_batch`; only the targets are read.

    Args:
        codec: Usually ``dict(type='SpaceToDepth', patch=1)``: pixels in [-1, 1].
        backbone: :class:`motionlab.codecs.frame_autoencoder_network.FrameAutoencoderNetwork`, or a
            :class:`motionlab.codecs.diffusers_autoencoder.DiffusersAutoencoder` to tune.
        head: Usually :class:`motionlab.models.heads.FrameReconstructionHead`.
        data_preprocessor: Default ``BatchPreprocessor``.
        decoder_only: Leave the encoder as it is: latents, and what was trained on them, stay valid. The decoder then
            goes to a codec by its argument ``decoder``.
        compile: Submodules to compile, e.g. ``['backbone']``.

    Raises:
        ConfigError: parts do not fit each other.
    """

    def __init__(self, codec: dict, backbone: dict, head: dict, data_preprocessor: dict | None = None,
                 decoder_only: bool = False, compile: Sequence[str] = ()):
        super().__init__(codec, backbone, head, data_preprocessor, compile)
        self.decoder_only = decoder_only
        if decoder_only:
            self.backbone.encoder.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> 'FrameAutoencoder':
        """A frozen encoder stays in evaluation mode: running statistics are part of its latents."""
        super().train(mode)
        if self.decoder_only:
            self.backbone.encoder.eval()
        return self

    def check_data(self, metainfo: Mapping[str, Any]) -> None:
        """Refuse a dataset whose frames the network cannot halve so often, before any batch; DataError."""
        if 'frame_size' in metainfo:
            check_frame_size(*metainfo['frame_size'], self.backbone.factor, metainfo.get('dataset_name', 'dataset'))

    def run_network(self, inputs: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1] -> their reconstruction, about [-1, 1].

        Raises:
            DataError: sides that the network cannot halve so often.
        """
        check_frame_size(*inputs.shape[-2:], self.backbone.factor)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.decoder_only):
            latents = self.backbone.encode(inputs)                                         # (B, C, h, w)
        return self.head.predict(self.backbone.decode(latents))

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Raw batch -> the terms of the head.

        Raises:
            DataError: the batch holds no target frames, or of another type or size.
            """
        images = self._images(batch)                                                       # (B K, 3, H, W)
        return self.head.loss(self.run_network(images), images)

    @torch.no_grad()
    def predict(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Raw batch -> the first target and its reconstruction, under the names of a frame predictor.

        Metrics of predictions then measure the ceiling that the autoencoder sets.

        Returns:
            ``sample_index``, ``index``, ``episode`` (B,) and ``last`` (B, H, W, 3) uint8 where the batch has them;
            ``frames`` and ``target`` (B, H, W, 3) uint8.

        Raises:
            DataError: as :meth:`loss`.
        """
        target = self._target(batch)[:, 0]                                                 # (B, H, W, 3)
        pred = self.run_network(self.codec.encode_frames(target))                          # (B, 3, H, W)
        found = {key: batch[key] for key in (keys.SAMPLE_INDEX, keys.INDEX, keys.EPISODE) if key in batch}
        if keys.HISTORY in batch:
            found['last'] = batch[keys.HISTORY][:, -1]
        return {**found, 'frames': self.codec.to_uint8(self.codec.decode_frames(pred)), 'target': target}

    def _images(self, batch: dict[str, Tensor]) -> Tensor:
        """All targets as (B K, 3, H, W) in [-1, 1]."""
        return self.codec.encode_frames(self._target(batch).flatten(0, 1))

    def _target(self, batch: dict[str, Tensor]) -> Tensor:
        """(B, K, H, W, 3) uint8."""
        if keys.TARGET not in batch:
            raise DataError('batch', keys.TARGET, f'only {sorted(batch)}', 'this key too',
                            'An autoencoder is trained on frames.')
        target = batch[keys.TARGET]
        return target if target.ndim == 5 else target[:, None]
