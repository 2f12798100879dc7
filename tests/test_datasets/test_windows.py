import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motionlab.datasets.windows import WindowIndex
from motionlab.utils import ConfigError

STARTS, LENGTHS = [0, 12, 17, 30], [12, 5, 0, 1]  # Rows 18..29 belong to no clip; one clip is empty, one has one frame.


def reference_windows(starts, lengths, seq_len, step, causal, pad, multiple_target=0, chunk_step=None):
    """The rules of the format description, one window at a time with plain Python integers."""
    samples = []
    for clip, (start, n) in enumerate(zip(starts, lengths)):
        if multiple_target:
            for first in range(0, n, chunk_step or multiple_target):
                rows = list(range(start + first, start + n))[:multiple_target]
                if len(rows) == multiple_target:
                    samples.append((rows, rows, clip))
        elif pad:
            left = seq_len - 1 if causal else (seq_len - 1) // 2
            right = 0 if causal else left
            for i in range(n):
                rows = [start + min(max(i + j * step, 0), n - 1) for j in range(-left, right + 1)]
                samples.append((rows, [start + i], clip))
        else:
            span = (seq_len - 1) * step + 1
            for first in range(n - span + 1):
                rows = [start + first + j * step for j in range(seq_len)]
                samples.append((rows, [rows[-1] if causal else rows[seq_len // 2]], clip))
    return samples


def _all(index):
    return index.gather(np.arange(len(index)))


def assert_windows(index, samples):
    assert len(index) == len(samples)
    inputs, targets, clips = _all(index)
    assert (inputs[:, index.target_positions] == targets).all()
    for position, (rows, target, clip) in enumerate(samples):
        assert inputs[position].tolist() == rows
        assert targets[position].tolist() == target
        assert clips[position] == clip


@pytest.mark.parametrize('step', [1, 2, 3])
@pytest.mark.parametrize(('seq_len', 'pad', 'causal'), [
    (seq_len, pad, causal) for seq_len in (1, 2, 3, 4, 5, 9, 27) for pad in (False, True) for causal in (False, True)
    if seq_len % 2 or causal or not pad])
def test_windows_follow_the_rules(seq_len, step, pad, causal):
    index = WindowIndex(STARTS, LENGTHS, seq_len, step=step, causal=causal, pad=pad)
    assert_windows(index, reference_windows(STARTS, LENGTHS, seq_len, step, causal, pad))


@pytest.mark.parametrize('chunk_step', [None, 1, 2, 7])
@pytest.mark.parametrize('multiple_target', [1, 4, 5, 40])
def test_chunks_follow_the_rules(multiple_target, chunk_step):
    index = WindowIndex(STARTS, LENGTHS, 1, multiple_target=multiple_target, multiple_target_step=chunk_step)
    assert_windows(index, reference_windows(STARTS, LENGTHS, 1, 1, False, True, multiple_target, chunk_step))


@pytest.mark.parametrize('options', [
    dict(seq_len=3), dict(seq_len=3, step=2, pad=False), dict(seq_len=4, causal=True, pad=False),
    dict(seq_len=1, multiple_target=3), dict(seq_len=1, multiple_target=2, multiple_target_step=1)])
@pytest.mark.parametrize('stride', [1, 2, 5, 40])
def test_every_nth_sample_of_each_clip(options, stride):
    whole, part = WindowIndex(STARTS, LENGTHS, **options), WindowIndex(STARTS, LENGTHS, **options, sample_stride=stride)
    _, _, clips = _all(whole)
    kept = np.concatenate([np.flatnonzero(clips == clip)[::stride] for clip in range(len(LENGTHS))])
    for found, expected in zip(_all(part), whole.gather(kept)):
        np.testing.assert_array_equal(found, expected)


@settings(max_examples=100, deadline=None)
@given(lengths=st.lists(st.integers(0, 30), max_size=6), seq_len=st.integers(0, 6).map(lambda k: 2 * k + 1),
       step=st.integers(1, 4), causal=st.booleans(), pad=st.booleans())
def test_no_window_leaves_its_clip(lengths, seq_len, step, causal, pad):
    starts = np.cumsum([0, *lengths])[:-1] if lengths else np.zeros(0)
    index = WindowIndex(starts, lengths, seq_len, step=step, causal=causal, pad=pad)
    assert_windows(index, reference_windows([int(s) for s in starts], lengths, seq_len, step, causal, pad))
    inputs, targets, clips = _all(index)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    assert (owner[inputs] == clips[:, None]).all()
    assert (owner[targets] == clips[:, None]).all()
    if causal:
        assert (inputs <= targets).all()


def test_negative_and_unordered_indices():
    index = WindowIndex(STARTS, LENGTHS, 3)
    forward, _, _ = _all(index)
    picked, _, _ = index.gather(np.array([-1, 0, 5, 5]))
    np.testing.assert_array_equal(picked, forward[[-1, 0, 5, 5]])


@pytest.mark.parametrize('position', [18, -19])
def test_out_of_range_is_an_index_error(position):
    with pytest.raises(IndexError, match='18 samples'):
        WindowIndex(STARTS, LENGTHS, 3).gather(np.array([0, position]))


def test_subset_is_a_contiguous_seeded_slice():
    whole, _, _ = _all(WindowIndex(STARTS, LENGTHS, 3))
    places = set()
    for seed in range(8):
        part = WindowIndex(STARTS, LENGTHS, 3, subset_frac=0.5, subset_seed=seed)
        rows, _, _ = _all(part)
        assert len(rows) == 9
        first = next(i for i in range(len(whole)) if (whole[i:i + 9] == rows).all())
        places.add(first)
        np.testing.assert_array_equal(rows, _all(WindowIndex(STARTS, LENGTHS, 3, subset_frac=0.5, subset_seed=seed))[0])
    assert len(places) > 2


@pytest.mark.parametrize(('options', 'message'), [
    (dict(seq_len=4), 'no centre frame'),
    (dict(seq_len=0), 'below its least'),
    (dict(seq_len=3, step=0), 'below its least'),
    (dict(seq_len=3, sample_stride=0), 'sample_stride=0'),
    (dict(seq_len=3, multiple_target=5), 'seq_len=1'),
    (dict(seq_len=1, multiple_target=5, multiple_target_step=0), 'below its least'),
    (dict(seq_len=1, subset_frac=0.0), 'subset_frac=0.0'),
])
def test_contradictions_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        WindowIndex(STARTS, LENGTHS, **options)


def test_memory_does_not_grow_with_the_window():
    """A list of windows would hold a thousand times the integers that the clips hold."""
    lengths = np.full(2000, 500)
    index = WindowIndex(np.cumsum(lengths) - lengths, lengths, 243)
    held = sum(value.nbytes for value in vars(index).values() if isinstance(value, np.ndarray))
    assert len(index) == 1_000_000
    assert held < 100_000
