"""Batches with a fixed share of every source of a combined dataset."""

import math
from collections.abc import Iterator, Sequence
from itertools import count as count_from
from itertools import islice

import torch
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Dataset, Sampler

from motionlab.registry import DATA_SAMPLERS
from motionlab.utils import ConfigError
from motionlab.utils.random import derive_seed

_CHUNK = 4096  # Indices turned into Python integers at a time.


@DATA_SAMPLERS.register_module()
class BalancedSampler(Sampler[int]):
    """Every batch of every rank holds ``floor(B * r_s / sum(r))`` samples of source s; the first source gets the rest.

    Source s is an endless stream: one random order of its samples after the other, each used up before the next is
    drawn, whatever the other sources do and wherever epochs end. With n_s samples of it in a batch, R ranks and b
    batches dealt since the beginning of training, the next global batch holds places ``b*n_s*R .. (b+1)*n_s*R`` of
    that stream, and rank r the places ``r::R`` of them. So ranks never share a place, any batch can be found without
    reading those before it, and the order follows from (seed, epoch). Different numbers of ranks see the same global
    batches where the counts n_s of all ranks together are the same.

    The training loops tell the batch size: ``train_dataloader.sampler=dict(type='BalancedSampler', ratios=[1, 1])``.

    Args:
        dataset: A :class:`motionlab.datasets.combined_dataset.CombinedDataset`, or anything with its ``sizes``.
        ratios: r_s > 0 of every source, on any scale.
        shuffle: A new order for each pass over a source (False: 0, 1, 2, ...).
        seed: The same on all ranks; the runner passes ``randomness.seed``. None draws one and shares it.
        batches_per_epoch: Batches of a rank in one epoch; default as many as all samples would fill,
            ``ceil(N / R / B)``.

    Raises:
        ConfigError: the dataset has no sources; ratios do not fit them; with the batch size a source would get no
            sample.
    """

    def __init__(self, dataset: Dataset, ratios: Sequence[float], shuffle: bool = True, seed: int | None = None,
                 batches_per_epoch: int | None = None):
        sizes = getattr(dataset, 'sizes', None)
        if sizes is None:
            raise ConfigError(f'BalancedSampler: found a {type(dataset).__name__}, expected a CombinedDataset, whose '
                              'sources it balances.')
        if len(ratios) != len(sizes) or any(not 0 < ratio < math.inf for ratio in ratios):
            raise ConfigError(f'BalancedSampler.ratios: found {list(ratios)}, expected {len(sizes)} numbers above 0, '
                              'one for each source of the dataset.')
        if batches_per_epoch is not None and batches_per_epoch < 1:
            raise ConfigError(f'BalancedSampler.batches_per_epoch: found {batches_per_epoch}, expected at least 1.')
        self.rank, self.world_size = get_dist_info()
        self.sizes, self.ratios, self.shuffle = list(sizes), list(ratios), shuffle
        self.names = getattr(dataset, 'names', [f'source {i}' for i in range(len(sizes))])
        self.seed = sync_random_seed() if seed is None else seed
        self.asked_batches = batches_per_epoch
        self.batch_size = 0  # Unknown until prepare().
        self.counts: list[int] = []  # n_s
        self.epoch = 0
        self.start = 0
        self.endless = False

    def prepare(self, batch_size: int, drop_last: bool, endless: bool) -> None:
        """Take over the batch size; see :class:`TrainSampler`. All batches are full, so ``drop_last`` changes nothing.

        Raises:
            ConfigError: a source would get no sample.
        """
        counts = source_counts(batch_size, self.ratios)
        if 0 in counts:
            lost = counts.index(0)
            raise ConfigError(
                f'BalancedSampler: {self.names[lost]} would get none of the {batch_size} samples of a batch (ratios '
                f'{self.ratios} give {counts}). Raise its ratio or train_dataloader.batch_size.')
        self.batch_size, self.counts, self.endless = batch_size, counts, endless

    @property
    def batches_per_epoch(self) -> int:
        """Batches of this rank in one epoch."""
        self._check_prepared()
        return self.asked_batches or -(-sum(self.sizes) // (self.world_size * self.batch_size))

    def __len__(self) -> int:
        """Samples of this rank in a whole epoch, wherever the next iteration starts."""
        return self.batches_per_epoch * self.batch_size

    def set_epoch(self, epoch: int) -> None:
        """Choose where in the streams the next iteration begins; called by MMEngine's ``DistSamplerSeedHook`` too."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        """Batch by batch, each with its sources in order.

        Raises:
            ValueError: :attr:`start` is inside a batch.
        """
        length = self.batches_per_epoch
        start, self.start = self.start, 0
        first, rest = divmod(start, self.batch_size)
        if rest:
            raise ValueError(f'BalancedSampler.start: found {start}, expected a multiple of {self.batch_size}')
        done = self.epoch * length + first
        streams = [self._stream(source, done * number) for source, number in enumerate(self.counts)]
        for _ in count_from() if self.endless else range(first, length):
            for stream, number in zip(streams, self.counts):
                yield from islice(stream, number)

    def _stream(self, source: int, taken: int) -> Iterator[int]:
        """Global indices of ``source`` for this rank, after the ``taken`` ones that it has had."""
        size, offset = self.sizes[source], sum(self.sizes[:source])
        turn, place = divmod(taken * self.world_size + self.rank, size)
        while True:
            mine = self._order(source, turn)[place::self.world_size]
            for chunk in mine.split(_CHUNK):
                yield from (chunk + offset).tolist()
            turn, place = turn + 1, place + len(mine) * self.world_size - size

    def _order(self, source: int, turn: int) -> torch.Tensor:
        if not self.shuffle:
            return torch.arange(self.sizes[source])
        generator = torch.Generator().manual_seed(derive_seed(self.seed, source, turn))
        return torch.randperm(self.sizes[source], generator=generator)

    def _check_prepared(self) -> None:
        if not self.batch_size:
            raise ConfigError('BalancedSampler: found no batch size. The training loops call prepare(batch_size, ...); '
                              'for evaluation use ResumableSampler.')


def source_counts(batch_size: int, ratios: Sequence[float]) -> list[int]:
    """Samples of every source in a batch: the floor of its share, and what is left over for the first."""
    total = math.fsum(ratios)
    # A share that is a whole number must not lose one to rounding: 100 * 0.29 is 28.999999999999996.
    counts = [math.floor(batch_size * ratio / total + 1e-9) for ratio in ratios]
    counts[0] += batch_size - sum(counts)
    return counts
