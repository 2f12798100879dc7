"""Mean and spread of every latent channel, taken from the training set."""

from collections.abc import Iterable

import torch
from torch import Tensor

from motionlab.codecs.fitted_statistics import FittedStatistics
from motionlab.utils import ConfigError, DataError

_CONSTANT = 1e-6  # A channel whose deviation is below this carries nothing; it is only centred.


class LatentStatistics(FittedStatistics):
    """Per-channel mean and standard deviation of latents; :meth:`fit` fills them once.

    Args:
        num_channels: C.

    Attributes:
        mean: (C,).
        std: (C,), positive.
        fitted: () bool. All three travel with the checkpoint.
    """

    def __init__(self, num_channels: int):
        super().__init__()
        self.register_buffer('mean', torch.zeros(num_channels))
        self.register_buffer('std', torch.ones(num_channels))

    def normalise(self, latents: Tensor) -> Tensor:
        """(..., C, h, w) -> zero mean and unit variance in every channel; ConfigError while nothing is fitted."""
        self._require_fitted()
        return (latents - self.mean[:, None, None]) / self.std[:, None, None]

    def denormalise(self, latents: Tensor) -> Tensor:
        """Inverse of :meth:`normalise`."""
        self._require_fitted()
        return latents * self.std[:, None, None] + self.mean[:, None, None]

    @torch.no_grad()
    def fit(self, parts: Iterable[Tensor]) -> None:
        """Take mean and deviation from latents (..., C, h, w), each part of any number.

        Raises:
            DataError: There are no latents, or they are not finite.
        """
        moments = torch.zeros(2, len(self.mean), dtype=torch.float64, device=self.mean.device)
        count = 0
        for part in parts:
            values = part.detach().to(moments).movedim(-3, -1).flatten(0, -2)              # (n, C)
            moments += torch.stack([values.sum(0), values.square().sum(0)])
            count += len(values)
        if not count or not moments.isfinite().all():
            raise DataError('training set', 'latents', f'{count} positions with sums {moments[0].tolist()}',
                            'finite latents of at least one frame')
        mean = moments[0] / count
        std = (moments[1] / count - mean.square()).clamp(min=0).sqrt()                     # (C,)
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > _CONSTANT, std, 1))
        self.fitted.fill_(True)

    def _require_fitted(self) -> None:
        if not self.is_fitted:
            raise ConfigError('FrameCodec: normalise=True needs mean and deviation of the latents of the training set. '
                              "Train with default_hooks.codec_statistics=dict(type='CodecStatisticsHook'), load a "
                              'checkpoint, or call codec.fit(batches).')
