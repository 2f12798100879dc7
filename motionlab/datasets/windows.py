"""Windows over clips as index arithmetic: a clip's start and length stand for all its windows."""

import numpy as np

from motionlab.utils import ConfigError


class WindowIndex:
    """Which rows each sample reads, for clips that lie one after the other in a list of rows.

    Start-up, memory and every ``gather`` are independent of how many windows overlap: two integers per clip are kept.
    With span = (seq_len - 1) * step + 1 and n the length of a clip:

    - ``pad``: one sample per frame i; it reads clamp(i + j * step, 0, n - 1) for j = -left..right, where left is
      (seq_len - 1) / 2 (all of seq_len - 1 if causal) and right = left (0 if causal). Target: frame i.
    - no ``pad``: one sample per start 0..n - span. Target: the last frame if causal, else input seq_len // 2.
    - ``multiple_target`` M (needs seq_len = 1): chunks of M frames every ``multiple_target_step``, each frame input and
      target alike; a short tail is dropped.

    ``sample_stride`` keeps the first and every so many further samples of each clip.
    Sample i is the i-th over all clips in the order given. No window ever leaves its clip.

    Args:
        clip_starts: (G,) first row of every clip.
        clip_lengths: (G,) rows of every clip, >= 0.
        seq_len: Input frames per sample.
        step: Distance between input frames.
        causal: Read no frame after the target.
        pad: Repeat the first and last frame of a clip where a window sticks out.
        multiple_target: M, or 0 for one target per window.
        multiple_target_step: Distance between chunks; M if None.
        subset_frac: Keep this share of the samples, a contiguous slice at a random place.
        subset_seed: Seed of that place.
        sample_stride: Keep every so many samples of a clip, before ``subset_frac``.

    Raises:
        ConfigError: The options contradict each other; e.g. an even ``seq_len`` has no centre frame to pad around.
    """

    def __init__(self, clip_starts: np.ndarray, clip_lengths: np.ndarray, seq_len: int, step: int = 1,
                 causal: bool = False, pad: bool = True, multiple_target: int = 0,
                 multiple_target_step: int | None = None, subset_frac: float = 1.0, subset_seed: int = 0,
                 sample_stride: int = 1):
        chunk_step = multiple_target_step if multiple_target_step is not None else max(multiple_target, 1)
        _check_options(seq_len, step, causal, pad, multiple_target, chunk_step, subset_frac, sample_stride)
        self.multiple_target = multiple_target
        self.clip_starts = np.asarray(clip_starts, dtype=np.int64)      # (G,)
        self.clip_lengths = np.asarray(clip_lengths, dtype=np.int64)    # (G,)
        # Frames between one sample of a clip and the next.
        self.stride = (chunk_step if multiple_target else 1) * sample_stride
        if multiple_target:
            self.offsets = np.arange(multiple_target)                   # (L,) input frames relative to the sample's
            self.target_offsets = self.offsets                          # (M,)
        else:
            left = 0 if not pad else seq_len - 1 if causal else (seq_len - 1) // 2
            self.offsets = (np.arange(seq_len) - left) * step
            target = seq_len - 1 if causal else seq_len // 2
            self.target_offsets = np.array([0 if pad else target * step])
        if pad and not multiple_target:
            starts = self.clip_lengths                                  # (G,) where a sample may begin
        else:
            starts = np.maximum(self.clip_lengths - self.offsets[-1], 0)
        counts = -(-starts // self.stride)                              # (G,)
        self._ends = np.cumsum(counts)                                  # (G,) samples up to and including each clip
        total = int(self._ends[-1]) if len(counts) else 0
        self._length = total if subset_frac == 1 else int(total * subset_frac)
        self._first = int(np.random.default_rng(subset_seed).integers(total - self._length + 1))

    def __len__(self) -> int:
        return self._length

    @property
    def target_positions(self) -> np.ndarray:
        """(M,) where among the L input frames the target frames are."""
        return np.searchsorted(self.offsets, self.target_offsets)

    def gather(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows of a batch of samples.

        Args:
            indices: (B,) sample numbers in [-len, len).

        Returns:
            Input rows (B, L), target rows (B, M) and clip number (B,), all int64.

        Raises:
            IndexError: A sample number is out of range.
        """
        indices = np.asarray(indices, dtype=np.int64)
        if indices.size and not (-self._length <= indices.min() and indices.max() < self._length):
            raise IndexError(f'sample {indices.min()}..{indices.max()} asked of {self._length} samples')
        samples = np.where(indices < 0, indices + self._length, indices) + self._first
        clip = np.searchsorted(self._ends, samples, side='right')                       # (B,)
        previous = np.where(clip > 0, self._ends[clip - 1], 0)
        frame = (samples - previous) * self.stride                                      # (B,) within the clip
        last = self.clip_lengths[clip][:, None] - 1                                     # (B, 1)
        start = self.clip_starts[clip][:, None]                                         # (B, 1)
        inputs = start + np.clip(frame[:, None] + self.offsets, 0, last)                # (B, L)
        targets = start + frame[:, None] + self.target_offsets                          # (B, M)
        return inputs, targets, clip


def _check_options(seq_len: int, step: int, causal: bool, pad: bool, multiple_target: int, chunk_step: int,
                   subset_frac: float, sample_stride: int) -> None:
    if min(seq_len, step, chunk_step, sample_stride) < 1 or multiple_target < 0:
        raise ConfigError(f'seq_len={seq_len}, seq_step={step}, multiple_target={multiple_target}, '
                          f'multiple_target_step={chunk_step}, sample_stride={sample_stride}: one is below its least '
                          '(1, multiple_target 0)')
    if pad and not causal and seq_len % 2 == 0:
        raise ConfigError(f'seq_len={seq_len} with pad=True and causal=False: an even window has no centre frame. '
                          f'Use seq_len={seq_len - 1} or {seq_len + 1}, or causal=True, or pad=False.')
    if multiple_target and (seq_len != 1 or step != 1):
        raise ConfigError(f'multiple_target={multiple_target} with seq_len={seq_len}, seq_step={step}: chunks of '
                          f'consecutive frames need seq_len=1 and seq_step=1.')
    if not 0 < subset_frac <= 1:
        raise ConfigError(f'subset_frac={subset_frac}: expected a share in (0, 1].')
