"""A sampler that can start anywhere in its order without reading what it skips."""

from collections.abc import Iterator, Sized

import torch
from mmengine.dist import get_dist_info, sync_random_seed
from mmengine.logging import print_log
from torch.utils.data import Sampler

from motionlab.registry import DATA_SAMPLERS
from motionlab.utils import ConfigError, DataError
from motionlab.utils.random import derive_seed

_ROUNDS = 2**31
_CHUNK = 65536  # Indices turned into Python integers at a time: a list of all of them would cost 36 bytes each.


@DATA_SAMPLERS.register_module()
class ResumableSampler(Sampler[int]):
    """Indices of one rank, in an order that follows from (seed, epoch) alone.

    With batches of B on R ranks, global batch i is ``order[i*R*B:(i+1)*R*B]`` and rank r holds its rows ``r::R``:
    every number of ranks sees the same global batches. The training loops call :meth:`prepare` and set :attr:`epoch`
    and :attr:`start`; a plain iteration yields one epoch.

    A dataset with a true ``redrawn_each_epoch`` draws each sample anew in every epoch. It gets the index plus N times a
    number that follows from (seed, epoch): no worker or rank has to be told the epoch, and nothing is lost by resuming.

    Args:
        dataset: Anything with a length.
        shuffle: A new order each epoch (False: 0, 1, 2, ...).
        seed: The same on all ranks; the runner passes ``randomness.seed``. None draws one and shares it.
        round_up: Repeat samples from the beginning so that all ranks get equally many, which training needs; metrics
            drop the repeated samples. False leaves some ranks one sample short.
        min_batch: Leave a last global batch out of training epochs when it has fewer samples than this. 2 for models
            with batch normalisation, which cannot train on one sample. Shuffled, it is another sample each epoch.

    Raises:
        DataError: the dataset is empty.
        ConfigError: ``min_batch`` is below 1.
    """

    def __init__(self, dataset: Sized, shuffle: bool = True, seed: int | None = None, round_up: bool = True,
                 min_batch: int = 1):
        self.rank, self.world_size = get_dist_info()
        self.num_samples = len(dataset)
        if self.num_samples == 0:
            raise DataError(type(dataset).__name__, 'length', 0, 'at least one sample',
                            'Check the annotation files and filters of the dataset.')
        self.redrawn = getattr(dataset, 'redrawn_each_epoch', False)
        self.shuffle = shuffle
        self.seed = sync_random_seed() if seed is None else seed
        self.round_up = round_up
        if min_batch < 1:
            raise ConfigError(f'ResumableSampler.min_batch: found {min_batch}, expected a positive number.')
        self.min_batch = min_batch
        self.epoch = 0
        self.start = 0  # Samples of this rank that the next iteration leaves out; then 0 again.
        self.cut_to = self.num_samples  # Samples of all ranks in one epoch, the first of its order.
        self.endless = False  # Go on with the next epoch's order, batches spanning both, without end.

    def prepare(self, batch_size: int, drop_last: bool, endless: bool) -> None:
        """Serve a training loop; see :class:`motionlab.datasets.samplers.TrainSampler`.

        Raises:
            ConfigError: ``round_up`` is False, so that ranks would get different numbers of samples; no batch would
                have ``min_batch`` samples.
        """
        if not self.round_up:
            raise ConfigError('train_dataloader.sampler: found round_up=False, expected ResumableSampler with '
                              'round_up=True: training needs equally many samples on all ranks.')
        full = batch_size * self.world_size
        largest = full if endless else min(full, self.num_samples)
        if largest < self.min_batch:
            raise ConfigError(f'train_dataloader: {self.num_samples} samples in batches of {full} over all ranks give '
                              f'batches of at most {largest}, expected min_batch={self.min_batch}: the model cannot '
                              'train on fewer samples at a time.')
        # What is dropped follows from the global batch, or an epoch would depend on the number of ranks.
        rest = self.num_samples % full
        if drop_last and not endless:
            self.cut_to = self.num_samples - rest
        elif 0 < rest < self.min_batch and not endless:
            self.cut_to = self.num_samples - rest
            print_log(f'{self.num_samples} samples leave a last batch of {rest}, fewer than min_batch='
                      f'{self.min_batch}: each epoch leaves it out.', 'current')
        self.endless = endless

    def __len__(self) -> int:
        """Samples of this rank in a whole epoch, wherever the next iteration starts."""
        if self.round_up:
            return -(-self.cut_to // self.world_size)
        return len(range(self.rank, self.cut_to, self.world_size))

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration; called by MMEngine's ``DistSamplerSeedHook`` too."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        start, self.start = self.start, 0
        return self._endless(start) if self.endless else self._one_epoch(start)

    def _one_epoch(self, start: int) -> Iterator[int]:
        order = self._order(self.epoch)[:self.cut_to]  # (N,)
        if self.round_up:
            total = len(self) * self.world_size
            order = order.repeat(-(-total // len(order)))[:total]
        yield from _integers(order[self.rank::self.world_size][start:])

    def _endless(self, start: int) -> Iterator[int]:
        epoch, offset = divmod(start * self.world_size + self.rank, self.num_samples)
        while True:
            mine = self._order(epoch)[offset::self.world_size]
            yield from _integers(mine)
            epoch, offset = epoch + 1, offset + len(mine) * self.world_size - self.num_samples

    def _order(self, epoch: int) -> torch.Tensor:
        first = derive_seed(self.seed, epoch, 1) % _ROUNDS * self.num_samples if self.redrawn else 0
        if not self.shuffle:
            return torch.arange(self.num_samples) + first
        generator = torch.Generator().manual_seed(derive_seed(self.seed, epoch))
        return torch.randperm(self.num_samples, generator=generator) + first


def _integers(indices: torch.Tensor) -> Iterator[int]:
    for chunk in indices.split(_CHUNK):
        yield from chunk.tolist()
