import json

import numpy as np
import pytest

from motionlab.evaluation.functional.estimates import estimate, paired_difference
from motionlab.utils import DataError


def test_mean_and_error():
    found = estimate([1, 2, 3, np.nan])
    assert (found.mean, found.count) == (2, 3) and found.error == pytest.approx(1 / 3 ** 0.5)
    assert str(found) == '2.000 ± 0.577'


def test_of_nothing_and_of_one():
    assert str(estimate([])) == '-' and json.dumps(estimate([]).as_dict()) == \
        '{"mean": null, "error": null, "count": 0}'
    assert estimate([np.nan, 4]).as_dict() == {'mean': 4, 'error': None, 'count': 1}


def test_pairs_cancel_what_they_share():
    shared = np.random.default_rng(0).normal(0, 10, 100)
    first, second = shared + 1, shared.copy()
    first[0] = second[1] = np.nan
    found = paired_difference(first, second)
    assert found.mean == pytest.approx(1) and found.error < 1e-9 < estimate(first).error and found.count == 98
    with pytest.raises(DataError, match='same things'):
        paired_difference(first, second[1:])
