"""The bridge between raw physical units and network space."""

from abc import abstractmethod
from collections.abc import Iterable

from torch import Tensor, nn

from motionlab.utils import ConfigError


class Codec(nn.Module):
    """Invertible map between a raw batch and what the network sees.

    Batched, differentiable, on the batch's device. Statistics are buffers, so a checkpoint is self-contained, and the
    same ``encode``/``decode`` serve training, evaluation and inference.

    Attributes:
        in_channels: Channels per element that the network receives.
        out_channels: Channels per element that the network must return.
        feature_channels: Sizes of the feature blocks that end ``in_channels``, in order; empty without any.
    """

    in_channels: int
    out_channels: int
    feature_channels: tuple[int, ...] = ()

    @abstractmethod
    def encode(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Raw batch -> ``inputs`` and, where the batch holds targets, ``target`` and ``weight``."""

    @abstractmethod
    def decode(self, output: Tensor) -> Tensor | dict[str, Tensor]:
        """Network output -> raw units, or several quantities in raw units by name."""

    @property
    def needs_fit(self) -> bool:
        """Whether :meth:`fit` must see training data, or a checkpoint be loaded, before :meth:`encode` can work."""
        return False

    def fit(self, batches: Iterable[dict[str, Tensor]]) -> None:
        """Take statistics from raw batches of the training set. Only codecs that have statistics define this."""
        raise ConfigError(f'{type(self).__name__} has no statistics to fit with these options.')
