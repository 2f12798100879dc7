"""Batches of samples of one size, in an order that follows from (seed, epoch) and can start anywhere."""

from collections.abc import Iterator

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Dataset, Sampler

from motionlab.registry import DATA_SAMPLERS
from motionlab.utils import ConfigError
from motionlab.utils.random import derive_seed

_SAMPLES, _BATCHES = range(2)  # What is shuffled: unrelated seeds.


@DATA_SAMPLERS.register_module()
class SizeBucketSampler(Sampler[int]):
    """Every global batch holds samples whose latents have one size, so that all ranks work equally long.

    In training without end (``max_iters``) each size is an endless stream of its own: one random order of its samples
    after the other, cut into global batches of G samples. Pass e over the data has those batches that the streams
    complete in it, in random order: a size comes as often as it has samples, and no sample comes more often than
    another. With batches of B on R ranks, G = R * B, and rank r holds the rows ``r::R`` of a batch: different numbers
    of ranks see the same global batches.

    In evaluation and training by epochs an epoch holds every size once, its last batch filled up from its beginning;
    metrics count a sample once.

    Args:
        dataset: With ``latent_sizes``, (N, 2) integers.
        shuffle: New orders each pass (False: as they come, size by size).
        seed: The same on all ranks; the runner passes ``randomness.seed``. None draws one and shares it.
        batch_size: That of the dataloader. Needed in evaluation only; training loops tell it.

    Raises:
        ConfigError: the dataset has no sizes.
    """

    def __init__(self, dataset: Dataset, shuffle: bool = True, seed: int | None = None, batch_size: int = 0):
        sizes = getattr(dataset, 'latent_sizes', None)
        if sizes is None:
            raise ConfigError(f'SizeBucketSampler: found a {type(dataset).__name__}, expected a dataset with '
                              'latent_sizes, such as LayoutImageDataset.')
        self.rank, self.world_size = get_dist_info()
        _, bucket = np.unique(np.asarray(sizes), axis=0, return_inverse=True)              # (N,)
        self.buckets = [np.flatnonzero(bucket.reshape(-1) == b) for b in range(bucket.max() + 1)]
        self.shuffle, self.batch_size = shuffle, batch_size
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = 0
        self.start = 0  # Samples of this rank that the next iteration leaves out; then 0 again.
        self.endless = False

    def prepare(self, batch_size: int, drop_last: bool, endless: bool) -> None:
        """Take over the batch size; see :class:`TrainSampler`. All batches are full, so ``drop_last`` changes nothing.

        Raises:
            ConfigError: the sampler was told another batch size.
        """
        if self.batch_size not in (0, batch_size):
            raise ConfigError(f'SizeBucketSampler.batch_size: found {self.batch_size}, expected {batch_size} as the '
                              'dataloader has.')
        self.batch_size, self.endless = batch_size, endless

    def __len__(self) -> int:
        """Samples of this rank in an epoch, wherever the next iteration starts."""
        return sum(-(-len(bucket) // self._global_batch()) for bucket in self.buckets) * self.batch_size

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration; called by MMEngine's ``DistSamplerSeedHook`` too."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        """Batch by batch.

        Raises:
            ValueError: :attr:`start` is inside a batch.
        """
        self._global_batch()
        start, self.start = self.start, 0
        first, rest = divmod(start, self.batch_size)
        if rest:
            raise ValueError(f'SizeBucketSampler.start: found {start}, expected a multiple of {self.batch_size}')
        return self._endless(first) if self.endless else self._one_epoch(first)

    def _one_epoch(self, first: int) -> Iterator[int]:
        full = self._global_batch()
        batches = []
        for number, bucket in enumerate(self.buckets):
            filled = np.resize(self._order(number, self.epoch), -(-len(bucket) // full) * full)
            batches += np.split(filled, len(filled) // full)
        for place in self._batch_order(len(batches), self.epoch)[first:]:
            yield from batches[place][self.rank::self.world_size].tolist()

    def _endless(self, first: int) -> Iterator[int]:
        full, rows = self._global_batch(), np.arange(self.rank, self._global_batch(), self.world_size)
        turn = first * full // sum(map(len, self.buckets))
        while self._batches_before(turn + 1) <= first:
            turn += 1
        while True:
            batches = [(number, batch) for number, bucket in enumerate(self.buckets)
                       for batch in range(turn * len(bucket) // full, (turn + 1) * len(bucket) // full)]
            orders: dict[tuple[int, int], np.ndarray] = {}
            for place in self._batch_order(len(batches), turn)[first - self._batches_before(turn):]:
                number, batch = batches[place]
                turns, places = np.divmod(batch * full + rows, len(self.buckets[number]))  # (B,), (B,)
                for key in {(number, int(each)) for each in turns} - orders.keys():
                    orders[key] = self._order(*key)
                yield from (int(orders[number, int(each)][row]) for each, row in zip(turns, places))
            turn += 1
            first = self._batches_before(turn)

    def _batches_before(self, turn: int) -> int:
        """Global batches of the first ``turn`` passes."""
        return sum(turn * len(bucket) // self._global_batch() for bucket in self.buckets)

    def _order(self, number: int, turn: int) -> np.ndarray:
        """Samples of a size in the order of a pass."""
        return self._shuffled(self.buckets[number], _SAMPLES, number, turn)

    def _batch_order(self, count: int, turn: int) -> np.ndarray:
        return self._shuffled(np.arange(count), _BATCHES, turn)

    def _shuffled(self, values: np.ndarray, *words: int) -> np.ndarray:
        return np.random.default_rng(derive_seed(self.seed, *words)).permutation(values) if self.shuffle else values

    def _global_batch(self) -> int:
        if not self.batch_size:
            raise ConfigError('SizeBucketSampler: found no batch size. Training loops tell it; for evaluation write '
                              'batch_size=... of the dataloader into its sampler too.')
        return self.batch_size * self.world_size
