"""Small recorded games: every frame tells its own number."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from motionlab.datasets.frame_store import FrameStore
from motionlab.datasets.frame_store_writer import FrameStoreWriter


def write_frame_store(folder: Path, lengths: Sequence[int] = (7, 5, 3), *, size: tuple[int, int] = (8, 8),
                      splits: Sequence[str] = ('train',), noisy: bool = False, seed: int = 0,
                      ends: Sequence[str] = ('terminated', 'truncated', 'cut'),
                      maker: Mapping | None = None) -> FrameStore:
    """Write a store of made-up frames.

    Args:
        folder: Target.
        lengths: Frames of each episode: one more than actions.
        size: Height and width.
        splits: Of the episodes, in turn.
        noisy: Random frames; otherwise all values of frame k are k (mod 256).
        seed: Of actions and random frames.
        ends: Of the episodes, in turn.
        maker: What the store says made it.
    """
    rng, first = np.random.default_rng(seed), 0
    with FrameStoreWriter(folder, *size, maker=maker or {'test': seed}, env={'name': 'numbers'}) as writer:
        for number, length in enumerate(lengths):
            frames = np.empty((length, *size, 3), np.uint8)
            frames[:] = (np.arange(first, first + length) % 256)[:, None, None, None]
            if noisy:
                frames = rng.integers(0, 256, frames.shape, dtype=np.uint8)
            writer.add_episode(frames, rng.integers(0, 5, length - 1), ends[number % len(ends)], {'seed': number},
                               splits[number % len(splits)])
            first += length
        return writer.finish()
