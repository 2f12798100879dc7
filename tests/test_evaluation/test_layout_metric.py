"""Scores of generated scenes at validation."""

import math

import pytest
import torch

from motionlab.codecs import LayoutCodec
from motionlab.datasets.layout_scenes import LayoutSceneDataset, SceneJudge
from motionlab.registry import METRICS
from motionlab.utils import ConfigError

NUM = 6


@pytest.fixture(scope='module')
def scenes() -> LayoutSceneDataset:
    return LayoutSceneDataset(NUM, images=True)


def evaluated(scenes: LayoutSceneDataset, batches: list[list[int]], shift: int = 0) -> dict[str, float]:
    metric = METRICS.build(dict(type='LayoutMetric', prefix='test'))
    for samples in batches:
        batch = scenes.__getitems__(samples)
        shown = scenes.__getitems__([(sample + shift) % NUM for sample in samples])['images']
        metric.process({}, {**batch, 'generated': shown})
    return {name.removeprefix('test/'): value for name, value in metric.evaluate(NUM).items()}


def test_the_truth_has_full_marks(scenes):
    found = evaluated(scenes, [list(range(NUM))])
    assert [found[name] for name in ('hit', 'colour', 'shape', 'texture', 'foreground_iou')] == [1] * 5
    assert found['similarity'] > 0.8 and found['num_samples'] == NUM and found['hit_error'] == 0


def test_batches_order_and_copies_change_nothing(scenes):
    whole = evaluated(scenes, [list(range(NUM))], shift=1)
    parts = evaluated(scenes, [[5, 3], [0, 1, 2], [4, 5]], shift=1)
    assert whole == pytest.approx(parts)


def test_means_and_errors_are_over_objects(scenes):
    found, batch = evaluated(scenes, [[0, 1, 2], [3, 4, 5]], shift=1), scenes.__getitems__(range(NUM))
    scores = SceneJudge(LayoutCodec())(batch['images'].roll(-1, 0).numpy(), scenes.layouts,
                                       batch['dino'][batch['ref_mask']])
    for name, values in scores.items():
        assert found[name] == pytest.approx(values.mean(), abs=1e-6)
        assert found[f'{name}_error'] == pytest.approx(values.std(ddof=1) / math.sqrt(len(values)), abs=1e-6)


def test_pictures_without_objects(scenes):
    batch = scenes.__getitems__([0])
    metric = METRICS.build(dict(type='LayoutMetric'))
    metric.process({}, {**batch, 'ref_mask': torch.zeros_like(batch['ref_mask']), 'generated': batch['images']})
    assert metric.evaluate(1) == {'foreground_iou': 1.0, 'num_samples': 1}


def test_a_model_that_generates_nothing_is_named(scenes):
    with pytest.raises(ConfigError, match='LayoutMetric needs generated'):
        METRICS.build(dict(type='LayoutMetric')).process({}, scenes.__getitems__([0]))
