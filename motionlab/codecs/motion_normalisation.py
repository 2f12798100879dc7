"""One scale per block of a motion feature vector, taken from the training set."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from motionlab.codecs.fitted_statistics import FittedStatistics
from motionlab.utils import ConfigError, DataError


class BlockScales(FittedStatistics):
    """Root mean square of every block; dividing by it keeps directions, so rotated vectors stay rotated vectors.

    Args:
        blocks: Channels of every block, by name; together all D channels in order.

    Attributes:
        scales: (number of blocks,) units of the block.
        fitted: () bool. Both travel with the checkpoint.
    """

    def __init__(self, blocks: Mapping[str, slice]):
        super().__init__()
        widths = [channels.stop - channels.start for channels in blocks.values()]
        self.names = tuple(blocks)
        self.register_buffer('scales', torch.ones(len(widths)))
        self.register_buffer('block_of', torch.repeat_interleave(torch.tensor(widths)), persistent=False)  # (D,)

    def channel_scales(self, like: Tensor) -> Tensor:
        """(D,) scale of every channel, dtype of ``like``; ConfigError while nothing is fitted."""
        if not self.is_fitted:
            raise ConfigError('MotionEncoding: block_normalisation needs the scales of the training set. Train with '
                              "default_hooks.codec_statistics=dict(type='CodecStatisticsHook'), load a checkpoint, or "
                              'call codec.fit(batches).')
        return self.scales[self.block_of].to(like)

    def fit(self, features: Iterable[Tensor]) -> None:
        """Take the scales from features (..., D). A block that is always zero keeps scale 1.

        Raises:
            DataError: There are no features, or they are not finite.
        """
        total, count = torch.zeros(len(self.names), dtype=torch.float64, device=self.scales.device), 0
        for values in features:
            values = values.detach().double().reshape(-1, len(self.block_of))              # (N, D)
            total.index_add_(0, self.block_of, values.square().sum(0))
            count += len(values)
        if not count or not total.isfinite().all():
            raise DataError('training set', 'motion features', f'{count} frames with square sums {total.tolist()}',
                            'finite features of at least one frame')
        rms = (total / (count * torch.bincount(self.block_of))).sqrt()                     # (blocks,)
        self.scales.copy_(torch.where(rms > 0, rms, 1))
        self.fitted.fill_(True)
