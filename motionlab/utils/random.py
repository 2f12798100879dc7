"""Random numbers that depend on counters alone: stopping and resuming anywhere gives the numbers of never stopping.

Before every iteration :func:`seed_iteration` seeds the global generators of Python, NumPy and PyTorch from (seed, rank,
iteration), and a separate *batch stream* from (seed, iteration), which is the same on all ranks. :func:`batch_rand`
draws from that stream for the whole global batch and keeps this rank's rows, so what a sample gets does not depend on
how many processes share the batch. Nothing has to be saved in a checkpoint.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import torch
from torch import Tensor

from motionlab.utils.errors import ConfigError

_STAGES = ('train', 'val', 'test')
_ROWS = 1024


def derive_seed(*words: int) -> int:
    """A 64-bit seed from non-negative integers; neighbouring words give unrelated seeds."""
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0])


def legacy_normal(shape: Sequence[int], seed: int) -> np.ndarray:
    """Standard normal float64 numbers of NumPy's legacy generator, as ``np.random.seed(seed)`` would give them.

    The generator is private: global ones stay where they are.

    Raises:
        ConfigError: the seed is not one of 0 to 2^32 - 1.
    """
    if not 0 <= seed < 2**32:
        raise ConfigError(f'seed: found {seed}, expected an integer of 0 to {2**32 - 1}.')
    return np.random.RandomState(seed).normal(size=tuple(shape))


class _BatchStream:
    """One generator per device, all seeded alike, made when first asked for."""

    def __init__(self, seed: int, rank: int, world_size: int):
        self.seed, self.rank, self.world_size = seed, rank, world_size
        self._generators: dict[torch.device, torch.Generator] = {}

    def generator(self, device: torch.device) -> torch.Generator:
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self.seed)
        return self._generators[device]

    def states(self) -> dict[torch.device, Tensor]:
        """Where every generator stands."""
        return {device: generator.get_state() for device, generator in self._generators.items()}

    def restore(self, states: dict[torch.device, Tensor]) -> None:
        """Go back to where :meth:`states` was taken; generators made since then start anew."""
        self._generators = {device: generator for device, generator in self._generators.items() if device in states}
        for device, state in states.items():
            self.generator(device).set_state(state)


# Outside a run (a notebook, a unit test) draws are those of iteration 0 of seed 0 in one process.
_stream = _BatchStream(derive_seed(0, 0, 0, 0), rank=0, world_size=1)


def seed_iteration(seed: int, rank: int, world_size: int, iteration: int, stage: str = 'train') -> None:
    """Seed the global generators for this rank, and the batch stream for all ranks alike.

    Args:
        seed: Seed of the run, the same on all ranks.
        rank: Number of this process.
        world_size: How many processes share a batch.
        iteration: Iteration of the run; with gradient accumulation every backward pass counts.
        stage: ``train``, ``val`` or ``test``; each has numbers of its own.
    """
    global _stream
    stage_word = _STAGES.index(stage)
    own = derive_seed(1, stage_word, seed, iteration, rank)
    random.seed(own)
    np.random.seed(own % 2**32)  # noqa: NPY002 - third-party code draws from the legacy generator.
    # torch.manual_seed would format a stack trace for every device type that is not in use: 0.5 ms an iteration.
    torch.default_generator.manual_seed(own)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(own)
    _stream = _BatchStream(derive_seed(2, stage_word, seed, iteration), rank, world_size)


def batch_rand(shape: Sequence[int], device: torch.device | str = 'cpu') -> Tensor:
    """Uniform numbers in [0, 1) for this rank's rows of the global batch, from the batch stream.

    Draws ``(world_size * B, *rest)`` and returns rows ``rank::world_size``, which is how samplers deal the rows of a
    global batch out. B must be equal on all ranks. CPU and CUDA draw different numbers.

    Args:
        shape: (B, ...) of what this rank wants.
        device: Where the numbers are drawn and returned.

    Returns:
        float32 tensor (B, ...).
    """
    return _draw(torch.rand, shape, device)


def batch_randn(shape: Sequence[int], device: torch.device | str = 'cpu') -> Tensor:
    """As :func:`batch_rand`, standard normal."""
    return _draw(torch.randn, shape, device)


def _draw(sample: Callable[..., Tensor], shape: Sequence[int], device: torch.device | str) -> Tensor:
    size, *rest = shape
    device = torch.device(device)
    drawn = sample(_stream.world_size * size, *rest, generator=_stream.generator(device), device=device)
    return drawn[_stream.rank::_stream.world_size]  # (B, ...)


def row_randn(rows: Tensor, width: int, seed: int) -> Tensor:
    """Standard normal numbers that belong to the rows of a table: what a row gets depends on nothing but its number.

    For evaluation that must not depend on batch size, order or number of processes. Drawn on the CPU in blocks of
    :data:`_ROWS` rows, so neighbouring rows are cheap.

    Args:
        rows: (B,) int64, not negative.
        width: Numbers of a row; a table of another width has other numbers.
        seed: Of the table.

    Returns:
        (B, width) float32 on the device of ``rows``.
    """
    drawn = torch.empty(len(rows), width)
    blocks = rows.cpu() // _ROWS                                                           # (B,)
    for block in blocks.unique().tolist():
        table = torch.randn(_ROWS, width, generator=torch.Generator().manual_seed(derive_seed(3, seed, width, block)))
        here = blocks == block
        drawn[here] = table[rows.cpu()[here] - block * _ROWS]
    return drawn.to(rows.device)


def seeded_randn(seeds: Sequence[int], shape: Sequence[int], device: torch.device | str = 'cpu') -> Tensor:
    """Standard normal numbers from a generator of its own for each row, seeded with its number.

    As :func:`row_randn`, for rows too wide for tables: what a row gets depends on nothing but its seed. Drawn on the
    CPU, so all devices get the same.

    Args:
        seeds: Of B rows, 0 to 2^64 - 1. torch's generator takes the lowest 32 bits of them.
        shape: Of a row.
        device: Where the numbers go.

    Returns:
        (B, *shape) float32
    """
    drawn = [torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(drawn).to(device)


def replay_batch_rand() -> tuple[AbstractContextManager, AbstractContextManager]:
    """Two blocks: what the first draws with :func:`batch_rand`, the second draws again, and the stream goes on.

    For computation that runs a second time in the backward pass: the ``context_fn`` of
    ``torch.utils.checkpoint.checkpoint``.
    """
    before: dict[torch.device, Tensor] = {}

    @contextmanager
    def record() -> Iterator[None]:
        before.update(_stream.states())
        yield

    @contextmanager
    def replay() -> Iterator[None]:
        after = _stream.states()
        _stream.restore(before)
        try:
            yield
        finally:
            _stream.restore(after)

    return record(), replay()
