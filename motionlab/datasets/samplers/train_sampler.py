"""What the training loops ask of a sampler."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable


@runtime_checkable
class TrainSampler(Protocol):
    """Deals equally many indices to every rank, in an order that follows from (seed, epoch), from any place on.

    The stock batch sampler cuts what :meth:`__iter__` yields into batches. Resuming sets :attr:`start`, so what was
    seen before is never read.

    Attributes:
        seed: The same on all ranks; read when an iteration begins, since a resumed run brings its own.
        epoch: Which epoch the next iteration is.
        start: Samples of this rank that the next iteration leaves out; then 0 again.
    """

    seed: int
    epoch: int
    start: int

    def prepare(self, batch_size: int, drop_last: bool, endless: bool) -> None:
        """Hear once how the loop takes batches, before the first iteration.

        Args:
            batch_size: Samples of one rank in a batch.
            drop_last: A last batch that is not full is left out, on all ranks alike.
            endless: Go on with the next epoch's order, batches spanning both, without end.

        Raises:
            ConfigError: The sampler cannot serve a training loop with its settings.
        """

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration."""

    def __len__(self) -> int:
        """Samples of this rank in a whole epoch, wherever the next iteration starts."""

    def __iter__(self) -> Iterator[int]:
        """Indices of this rank."""
