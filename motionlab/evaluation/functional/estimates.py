"""Means with their standard errors, and differences of what was measured on the same things."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from motionlab.utils import DataError


@dataclass(frozen=True)
class Estimate:
    """A mean and how far it may be off.

    Args:
        mean: NaN of nothing.
        error: Standard error of the mean: standard deviation (n - 1) over the root of n; NaN of less than two.
        count: n.
    """

    mean: float
    error: float
    count: int

    def __str__(self) -> str:
        return f'{self.mean:.3f} ± {self.error:.3f}' if self.count else '-'

    def as_dict(self) -> dict:
        """For JSON; None where there is no number."""
        return {name: None if math.isnan(value) else value for name, value in vars(self).items()}


def estimate(values: Sequence[float] | np.ndarray) -> Estimate:
    """Over all values but NaN, which stand for what was not measured."""
    values = np.asarray(values, np.float64).ravel()
    values = values[~np.isnan(values)]
    count = len(values)
    error = float(values.std(ddof=1)) / math.sqrt(count) if count > 1 else math.nan
    return Estimate(float(values.mean()) if count else math.nan, error, count)


def paired_difference(first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray) -> Estimate:
    """``first - second`` of the same things, over those that both measured: what they share does not blur it.

    Raises:
        DataError: another number of things.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.shape != second.shape:
        raise DataError('paired_difference', 'shapes', f'{first.shape} and {second.shape}', 'the same things in both')
    return estimate(first - second)
