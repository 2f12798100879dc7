import numpy as np
import pytest
import torch

from motionlab.evaluation.functional.novelty import novelty, pose_centres
from motionlab.evaluation.functional.occlusion import self_occluded
from motionlab.evaluation.metrics.training_centres import TrainingCentres, fit_centres, load_centres
from motionlab.utils import ConfigError, DataError
from tests.synthetic import write_lifting_annotation
from tests.test_evaluation.predictions import evaluate, make_predictions, spoil_hidden


def _parts(predictions):
    target = predictions['target_m'].flatten(0, 1)
    errors = 1000 * (predictions['pred_m'].flatten(0, 1) - (target - target[:, :1])).double().norm(dim=-1)
    return target, errors, predictions['target_visible'].flatten(0, 1)


@pytest.fixture
def centres_file(tmp_path):
    target = make_predictions(seed=5)['target_m'].flatten(0, 1)
    TrainingCentres(pose_centres(target, clusters=4), 'camera').save(tmp_path / 'new' / 'centres.npz')
    return tmp_path / 'new' / 'centres.npz'


@pytest.mark.parametrize('with_px', [True, False])
def test_occlusion(with_px):
    predictions = make_predictions(targets=2)
    target, errors, visible = _parts(predictions)
    pixels = 1000 * target[..., :2] / target[..., 2:] + 500
    if with_px:
        pixels = pixels + 40 * torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0))
        predictions['target_px'] = pixels.unflatten(0, (-1, 2))
    hidden = self_occluded(target, pixels)
    found = evaluate(predictions, type='PoseBreakdown', by=['occlusion'])
    assert set(found) == {'occlusion/visible', 'occlusion/occluded', 'occlusion/share'}
    assert found['occlusion/visible'] == pytest.approx(errors[visible & ~hidden].mean().item())
    assert found['occlusion/occluded'] == pytest.approx(errors[visible & hidden].mean().item())
    assert found['occlusion/share'] == pytest.approx(100 * hidden[visible].double().mean().item())
    assert 5 < found['occlusion/share'] < 60


def test_confidence_quarters():
    predictions = make_predictions()
    _, errors, visible = _parts(predictions)
    confidence = predictions['target_confidence'].flatten(0, 1).double()
    found = evaluate(predictions, type='PoseBreakdown', by=['confidence'])
    low, high = np.quantile(confidence[visible], [0.25, 0.75])
    assert found['confidence/Q1'] == pytest.approx(errors[visible & (confidence <= low)].mean().item())
    assert found['confidence/Q4'] == pytest.approx(errors[visible & (confidence > high)].mean().item())
    predictions['target_confidence'][:] = 1
    assert set(evaluate(predictions, type='PoseBreakdown', by=['confidence'])) == {'confidence/Q1'}
    del predictions['target_confidence']
    with pytest.raises(ConfigError, match='needs target_confidence'):
        evaluate(predictions, type='PoseBreakdown')


def test_novelty_quarters(centres_file):
    predictions = make_predictions()
    target, errors, visible = _parts(predictions)
    centres = load_centres(centres_file)
    distance = novelty(target, centres.centres_m, visible)
    found = evaluate(predictions, type='PoseBreakdown', by=['novelty'], training_set=str(centres_file))
    bounds = np.quantile(distance, [0.25, 0.75])
    for label, rows in (('Q1', distance <= bounds[0]), ('Q4', distance > bounds[1])):
        assert found[f'novelty/{label}'] == pytest.approx(errors[rows][visible[rows]].mean().item())
    assert found['novelty/mean'] == pytest.approx(1000 * distance.mean().item())


def test_hidden_joints_have_no_effect(centres_file):
    predictions = make_predictions()
    predictions['target_visible'][:, :, 0] = True
    cfg = dict(type='PoseBreakdown', by=['novelty', 'confidence'], training_set=str(centres_file))
    assert evaluate(spoil_hidden(predictions), **cfg) == pytest.approx(evaluate(predictions, **cfg))


def test_training_set_by_its_config(tmp_path):
    write_lifting_annotation(tmp_path, 'train', clips=2, frames=30)
    dataset = dict(type='PoseLiftingDataset', data_root=str(tmp_path), ann_file='train.npz', seq_len=1)
    predictions = make_predictions()
    found = evaluate(predictions, type='PoseBreakdown', by=['novelty'], training_set=dataset)
    centres = fit_centres(dataset)
    assert centres.centres_m.shape == (60, 17, 3)                          # fewer poses than centres
    target, _, visible = _parts(predictions)
    assert found['novelty/mean'] == pytest.approx(1000 * centres.novelty(target, visible).mean().item())
    assert fit_centres(dataset, clusters=5, frame='body').frame == 'body'


def test_files_of_centres_are_checked(centres_file, tmp_path):
    for arrays, message in ((dict(centres_m=np.zeros((4, 17, 3))), 'key frame'),
                            (dict(centres_m=np.zeros((4, 17)), frame='camera'), r'shape \(4, 17\)'),
                            (dict(centres_m=np.zeros((4, 17, 3)), frame='world'), 'found world')):
        np.savez(tmp_path / 'bad.npz', **arrays)
        with pytest.raises(DataError, match=message):
            load_centres(tmp_path / 'bad.npz')
    again = load_centres(centres_file)
    again.save(tmp_path / 'again.npz')
    torch.testing.assert_close(load_centres(tmp_path / 'again.npz').centres_m, again.centres_m, rtol=0, atol=0)


@pytest.mark.parametrize('cfg', [dict(by=['age']), dict(by=[]), dict(by=['novelty']),
                                 dict(by=['occlusion'], training_set='centres.npz')])
def test_contradictions(cfg):
    with pytest.raises(ConfigError, match='PoseBreakdown: found by='):
        evaluate(make_predictions(), type='PoseBreakdown', **cfg)
