import pytest
import torch

from motionlab.datasets.collate import batch_collate
from motionlab.registry import FUNCTIONS
from motionlab.utils import DataError


def test_a_batch_passes_untouched():
    batch = {'x': torch.zeros(3, 2)}
    assert batch_collate(batch) is batch
    assert FUNCTIONS.get('batch_collate') is batch_collate


def test_samples_are_stacked():
    samples = [{'x': torch.full((2,), float(i)), 'n': torch.tensor(i)} for i in range(3)]
    batch = batch_collate(samples)
    assert batch['n'].tolist() == [0, 1, 2]
    assert batch['x'].shape == (3, 2)
    assert batch['x'][2, 0] == 2


def test_unlike_samples_are_named():
    with pytest.raises(DataError, match=r"keys: found \['y'\], expected \['x'\]"):
        batch_collate([{'x': torch.zeros(2)}, {'y': torch.zeros(2)}])
    with pytest.raises(DataError, match=r'x: found shapes \[\(2,\), \(3,\)\]'):
        batch_collate([{'x': torch.zeros(2)}, {'x': torch.zeros(3)}])
