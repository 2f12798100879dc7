"""What a lifting codec learns from the training set before training: ranges of feature channels, mean box size."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from motionlab.codecs.fitted_statistics import FittedStatistics
from motionlab.utils import ConfigError, DataError

_PERCENTILES = (1, 99)
_BLOCK = 64  # Channels whose percentiles are taken at a time, to bound the memory.


class LiftingStatistics(FittedStatistics):
    """Buffers that travel with the checkpoint; :meth:`fit` fills them once.

    Args:
        feature_channels: Width of every feature block, by its batch key.
        needs_box: Keep the mean box size.

    Attributes:
        fitted: () bool.
        mean_box: () mean size of the box around the joints, in units of half an image width; with ``needs_box``.
    """

    def __init__(self, feature_channels: Mapping[str, int], needs_box: bool):
        super().__init__()
        self.feature_channels, self.needs_box = dict(feature_channels), needs_box
        if needs_box:
            self.register_buffer('mean_box', torch.tensor(0.0))
        for key, width in self.feature_channels.items():
            self.register_buffer(f'{key}_low', torch.zeros(width))
            self.register_buffer(f'{key}_high', torch.zeros(width))

    def require_fitted(self) -> None:
        """Raise :class:`ConfigError` where statistics are still missing."""
        if not self.is_fitted:
            missing = [f'percentiles of {key}' for key in self.feature_channels] + ['mean box size'] * self.needs_box
            raise ConfigError(f'ImagePoseLifting: {", ".join(missing)} of the training set not known yet. Train with '
                              'CodecStatisticsHook, load a checkpoint of a trained model, or call codec.fit(batches).')

    @torch.no_grad()
    def fit(self, features: Mapping[str, Tensor], boxes: Tensor | None) -> None:
        """Fill the buffers.

        Args:
            features: (n, C) values of every block at joints of the training set, any floating type.
            boxes: (m,) box sizes, in units of half an image width; None where not needed.

        Raises:
            DataError: Nothing to learn from, or not a finite number.
        """
        for key in self.feature_channels:
            low, high = _percentiles(key, features[key])
            getattr(self, f'{key}_low').copy_(low)
            getattr(self, f'{key}_high').copy_(high)
        if self.needs_box:
            boxes = boxes[boxes > 0]
            if not len(boxes):
                raise DataError('training set', 'keypoints_px', 'no frame with two joints or more', 'a box to measure')
            self.mean_box.fill_(boxes.double().mean().item())
        self.fitted.fill_(True)

    def normalise(self, key: str, features: Tensor) -> Tensor:
        """Features (..., C) of block ``key``: first to 99th percentile -> [-1, 1], clipped; constant channels -> 0."""
        low, high = getattr(self, f'{key}_low'), getattr(self, f'{key}_high')              # (C,) each
        half = (high - low) / 2
        scale = torch.where(half > 0, 1 / half.clamp(min=torch.finfo(half.dtype).tiny), 0)
        return ((features.to(low.dtype) - (low + half)) * scale).clamp(-1, 1)


def _percentiles(key: str, values: Tensor) -> tuple[Tensor, Tensor]:
    """First and 99th percentile (C,) of every column of (n, C)."""
    if not len(values):
        raise DataError('training set', key, 'no joint with a detection', 'features to measure')
    found = []
    for first in range(0, values.shape[1], _BLOCK):
        block = values[:, first:first + _BLOCK].float().cpu().numpy()                      # (n, <=_BLOCK)
        finite = np.isfinite(block).all(axis=1)
        if not finite.any():
            raise DataError('training set', key, 'no joint whose features are all finite', 'finite features')
        found.append(np.percentile(block[finite], _PERCENTILES, axis=0))
    low, high = np.concatenate(found, axis=1).astype(np.float32)
    return torch.from_numpy(low), torch.from_numpy(high)
