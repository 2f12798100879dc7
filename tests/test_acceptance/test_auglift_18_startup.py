"""What opening a dataset keeps in memory and how many rows it reads; seconds are in benchmark_loader.py."""

import tracemalloc

import numpy as np

from motionlab.datasets import lifting_annotation, lifting_checks
from motionlab.datasets.pose_lifting_dataset import PoseLiftingDataset
from tests.synthetic import write_lifting_annotation

LENGTH, KEYS = 243, 5  # A window holds 2D points, confidence, depth and validity of 243 frames, and a pose.


class _Counted(np.ndarray):
    """An array that counts the rows that are taken from it."""

    rows_read = 0

    def __getitem__(self, index):
        found = super().__getitem__(index)
        _Counted.rows_read += len(found) if isinstance(index, slice) else np.size(index)
        return found


def _kept_bytes(path, seq_len):
    tracemalloc.start()
    dataset = PoseLiftingDataset(path, seq_len=seq_len)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return kept, len(dataset)


def test_auglift_18_startup(tmp_path, monkeypatch):
    """Dataset start-up memory O(N), >=10x faster than per-window copies at L=243."""
    small, large = (write_lifting_annotation(tmp_path, name, clips=4, frames=frames)
                    for name, frames in (('small', 500), ('large', 2000)))
    _kept_bytes(small, LENGTH)  # Whatever the first call loads does not count.
    (of_small, n), (of_large, four_n), (of_short, _) = (
        _kept_bytes(small, LENGTH), _kept_bytes(large, LENGTH), _kept_bytes(large, 1))
    assert four_n == 4 * n
    assert of_large < 4.4 * of_small, 'linear in N'
    assert abs(of_large - of_short) < 20_000, 'a window costs nothing, however long it is'
    copies = four_n * LENGTH * 17 * 4 * (2 + 1 + 1)
    assert of_large < copies / 100

    def counted(*args, **kwargs):
        return {key: array.view(_Counted) for key, array in lifting_annotation_open(*args, **kwargs).items()}

    def counted_take(array, rows):
        _Counted.rows_read += rows.size
        return take_rows(array, rows)
    lifting_annotation_open, take_rows = lifting_annotation.open_npz, lifting_checks.take_rows
    monkeypatch.setattr(lifting_annotation, 'open_npz', counted)
    monkeypatch.setattr(lifting_checks, 'take_rows', counted_take)
    PoseLiftingDataset(large, seq_len=LENGTH)
    # Per-window copies read every key of every frame of every window.
    assert four_n * KEYS <= _Counted.rows_read <= four_n * LENGTH * KEYS / 10
