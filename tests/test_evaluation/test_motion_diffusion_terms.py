import pytest
import torch

from motionlab.evaluation.metrics import MotionDiffusionTerms
from motionlab.utils import ConfigError, DataError


def _evaluate(name, values, batches=((0, 1), (2,))):
    metric = MotionDiffusionTerms()
    for rows in batches:
        rows = torch.tensor(rows)
        metric.process({}, {'sample_index': rows, **{key: torch.tensor(values)[rows] for key in
                                                     ('simple', 'fk', name, 'total')}})
    return metric.evaluate(len(values))


@pytest.mark.parametrize('name', ['velocity', 'acceleration'])
def test_every_window_counts_the_same(name):
    found = _evaluate(name, [1.0, 2.0, 6.0])
    assert found == {'simple': 3.0, 'fk': 3.0, name: 3.0, 'total': 3.0, 'num_samples': 3}
    assert list(found) == ['simple', 'fk', name, 'total', 'num_samples']


def test_broken_windows_are_named():
    with pytest.raises(DataError, match=r'simple: found NaN or infinity for 1 of 3 samples \(sample_index \[1\]\)'):
        _evaluate('velocity', [1.0, float('nan'), 6.0])


def test_another_model_is_refused():
    with pytest.raises(ConfigError, match='MotionDiffusionTerms needs simple, fk, total'):
        MotionDiffusionTerms().process({}, {'sample_index': torch.arange(2), 'velocity': torch.ones(2)})
