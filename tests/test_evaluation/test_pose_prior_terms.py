import pytest
import torch

from motionlab.codecs import pose_prior_batch as keys
from motionlab.evaluation.functional.pose_prior import looks_untrained
from motionlab.registry import METRICS
from motionlab.utils import ConfigError, DataError


def _predictions(count: int = 10, seed: int = 0) -> dict:
    generator = torch.Generator().manual_seed(seed)
    terms = {name: torch.rand(count, generator=generator) for name in keys.TERMS}
    return {keys.SAMPLE_INDEX: torch.arange(count), **terms}


def _evaluate(predictions: dict, batches: list[list[int]], size: int = 10, **options) -> dict[str, float]:
    metric = METRICS.build(dict(type='PosePriorTerms', **options))
    for rows in batches:
        metric.process({}, {key: value[rows] for key, value in predictions.items()})
    return metric.evaluate(size)


def test_every_sample_weighs_the_same():
    predictions = _predictions()
    whole = _evaluate(predictions, [[*range(10)]])
    assert list(whole) == [*keys.TERMS, 'num_samples'] and whole['num_samples'] == 10
    for name in keys.TERMS:
        assert whole[name] == pytest.approx(predictions[name].double().mean().item(), rel=1e-12)
    ragged = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert _evaluate(predictions, ragged) == whole
    by_batch = sum(predictions['kl'][rows].mean() for rows in ragged) / 3
    assert whole['kl'] != pytest.approx(by_batch.item(), rel=1e-4)


def test_order_and_copies_change_nothing():
    predictions = _predictions()
    assert _evaluate(predictions, [[9, 3, 5, 1, 7], [0, 2, 4, 6, 8, 0, 9]]) == _evaluate(predictions, [[*range(10)]])
    assert set(_evaluate(predictions, [[*range(10)]], prefix='vald')) == {
        f'vald/{name}' for name in (*keys.TERMS, 'num_samples')}


@pytest.mark.parametrize('value', [torch.nan, torch.inf])
def test_one_broken_sample_fails_the_evaluation(value):
    predictions = _predictions()
    predictions['geo'][[3, 8]] = value
    with pytest.raises(DataError, match=r'geo: found NaN or infinity for 2 of 10 samples \(sample_index \[3, 8\]\)'):
        _evaluate(predictions, [[*range(10)]])


def test_a_missing_sample_or_term_fails_the_evaluation():
    predictions = _predictions()
    with pytest.raises(DataError, match='9 distinct samples'):
        _evaluate(predictions, [[*range(9)]])
    del predictions['jtr_l1']
    with pytest.raises(ConfigError, match='jtr_l1'):
        _evaluate(predictions, [[0]])


def test_numbers_of_fresh_and_of_trained_weights():
    assert looks_untrained(3.52, 2.17)
    assert not looks_untrained(29.52, 0.10)
    assert not looks_untrained(3.52, 0.5) and not looks_untrained(20.0, 2.2)
