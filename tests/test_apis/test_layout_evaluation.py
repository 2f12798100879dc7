import math
from dataclasses import replace

import numpy as np
import pytest

from motionlab.apis.layout_evaluation import (
    AFTER_CODEC,
    CONDITIONS,
    DATA,
    FULL,
    NO_REFERENCES,
    WRONG_IMAGE,
    LayoutReport,
    conditions_of,
    evaluate_layouts,
    picture_scores,
    read_layout_report,
)
from motionlab.apis.layout_tables import report_tables
from motionlab.codecs.layout_codec import LayoutCodec
from motionlab.datasets.layout_scenes import LayoutSceneDataset, SceneJudge
from motionlab.evaluation.functional.estimates import estimate
from motionlab.models.layout_sampling import LayoutOptions
from motionlab.utils import ConfigError, DataError
from tests.layout_models import make_model

NUM = 3


@pytest.fixture(scope='module')
def dataset():
    return LayoutSceneDataset(num_scenes=NUM, seed=5)


@pytest.fixture(scope='module')
def model():
    return make_model(3)


@pytest.fixture(scope='module')
def report(model, dataset):
    return evaluate_layouts(model, dataset, SceneJudge(model.codec), batch_size=2, num_pictures=2)


def test_every_condition_from_the_same_noise(report, model, dataset):
    assert list(report.scores) == list(CONDITIONS) and report.num_images == NUM
    objects = sum(map(len, dataset.layouts))
    for scores in report.scores.values():
        assert {len(scores[name]) for name in ('hit', 'colour', 'similarity')} == {objects}
        assert len(scores['foreground_iou']) == NUM
    similarity = [report.scores[condition]['similarity'] for condition in CONDITIONS]
    for one in range(len(similarity)):
        for other in similarity[:one]:
            assert np.abs(similarity[one] - other).max() > 1e-6  # Each path does something in this model.
    again = evaluate_layouts(model, dataset, SceneJudge(model.codec), conditions=[NO_REFERENCES, FULL], batch_size=3)
    assert list(again.scores) == [NO_REFERENCES, FULL] and not again.pictures
    for condition in again.scores:
        for name, values in again.scores[condition].items():
            np.testing.assert_allclose(values, report.scores[condition][name], atol=0.05, err_msg=name)


def test_alpha_by_depth(report, dataset):
    labels = [label for layout in dataset.layouts for label in layout.depth]
    assert len(report.alpha) == len(report.depth) == len(labels) and ((report.alpha > 0) & (report.alpha < 1)).all()
    counts = {label: each.count for label, each in report.alpha_by_depth().items()}
    assert list(counts.values()) == [labels.count(number) for number in range(3)]


def test_what_the_model_knows():
    assert conditions_of(make_model(1)) == [FULL, NO_REFERENCES, 'layout off']
    assert conditions_of(make_model(2)) == list(CONDITIONS)[:4]
    assert conditions_of(make_model(0)) == [NO_REFERENCES]


def test_the_base_is_evaluated_by_captions(dataset):
    base = make_model(0)
    report = evaluate_layouts(base, dataset, SceneJudge(base.codec), num_images=1)
    assert list(report.scores) == [NO_REFERENCES] and report.alpha_by_depth() == {} and len(report_tables(report)) == 1
    assert report.as_dict()['full_minus'] == {}
    with pytest.raises(ConfigError, match='no pictures'):
        report.draw()


def test_report_through_a_file(report, tmp_path):
    report.scores['layout off']['hit'][0] = math.nan
    report.write(tmp_path / 'report.json')
    found = read_layout_report(tmp_path / 'report.json')
    for condition in CONDITIONS:
        assert {name: str(each) for name, each in found.estimates(condition).items()} == \
            {name: str(each) for name, each in report.estimates(condition).items()}
    assert found.depth == report.depth
    np.testing.assert_allclose(found.alpha, report.alpha, atol=1e-6)
    assert found.difference('hit', FULL, 'layout off').count == len(report.depth) - 1
    (tmp_path / 'other.json').write_text('{"conditions": 1}')
    with pytest.raises(DataError, match='expected a report'):
        read_layout_report(tmp_path / 'other.json')


def test_differences_between_models(report):
    other = LayoutReport({FULL: {'hit': report.scores[FULL]['hit'] - 0.25}}, report.depth, report.alpha,
                         report.set_name, report.num_images)
    found = report.difference('hit', FULL, base=other)
    assert found.mean == pytest.approx(0.25) and found.error < 1e-9
    with pytest.raises(DataError, match='the same images'):
        report.difference('hit', FULL, base=replace(other, set_name='another'))


def test_tables_and_pictures(report):
    titles = [table.title for table in report_tables(report)]
    assert titles[0].startswith(f'{NUM} images') and titles[1:] == ['What each path brings', 'Alpha by depth']
    picture = report.draw()
    assert picture.shape[0] > 2 * 256 and picture.shape[1] > 6 * 256 and len(report.pictures) == 2


def test_pictures_that_no_model_made(dataset):
    codec = LayoutCodec()
    found = {name: {score: estimate(values).mean for score, values in scores.items()}
             for name, scores in picture_scores(dataset, SceneJudge(codec), codec, batch_size=2).items()}
    for score in ('foreground_iou', 'box_iou', 'similarity'):
        assert found[DATA][score] >= found[AFTER_CODEC][score] - 0.05 > found[WRONG_IMAGE][score], score
    assert found[DATA]['hit'] == 1 and found[WRONG_IMAGE]['hit'] < 0.5


def test_wrong_calls(model, dataset):
    judge = SceneJudge(model.codec)
    for options in (dict(conditions=['nothing']), dict(conditions=[]), dict(num_images=0), dict(batch_size=0)):
        with pytest.raises(ConfigError, match='expected'):
            evaluate_layouts(model, dataset, judge, **options)
    with pytest.raises(ConfigError, match='feedback off'):
        evaluate_layouts(make_model(2), dataset, judge, conditions=['feedback off'])
    with pytest.raises(DataError, match='of the objects'):
        evaluate_layouts(model, dataset, lambda images, layouts, dino: {'wrong': np.zeros(99)}, num_images=1,
                         options=LayoutOptions(num_steps=1))
