import numpy as np
import pytest
import torch

from motionlab.evaluation.functional import depth_order, pose
from motionlab.utils import ConfigError
from tests.test_evaluation.predictions import evaluate, make_predictions, spoil_hidden


@pytest.mark.parametrize('targets', [1, 3])
def test_values_are_the_functions_in_percent(targets):
    predictions = make_predictions(targets=targets)
    found = evaluate(predictions, type='DepthOrderAccuracy')
    pred, target = (predictions[key].flatten(0, 1) for key in ('pred_m', 'target_m'))
    visible = predictions['target_visible'].flatten(0, 1)
    z = pred[..., 2], (target - target[:, :1])[..., 2]

    def share(hits, counted=visible):
        return 100 * hits[counted].double().mean().item()

    errors, torso = pose.joint_errors(pred, target - target[:, :1]), depth_order.torso_length(target)
    whole = visible & visible[:, [1, 4, 8]].all(dim=1, keepdim=True)
    assert {name: value for name, value in found.items() if '/' not in name} == pytest.approx({
        'PairwiseOrdinal': depth_order.pairwise_order_accuracy(*z, visible),
        'OrdinalDepth': share(depth_order.rank_hits(*z, visible)),
        'OrdinalDepth+-1': share(depth_order.rank_hits(*z, visible, 1)),
        'OrdinalDepth@100': share(depth_order.bucket_hits(*z, 0.1, visible)),
        'OrdinalDepth@250': share(depth_order.bucket_hits(*z, 0.25, visible)),
        'PCKt@0.5': share(errors < 0.5 * torso[:, None], whole),
        'PCKt@1': share(errors < torso[:, None], whole)})
    for name in ('PairwiseOrdinal', 'PCKt@1'):
        assert found[f'{name}/action-wise'] == pytest.approx((found[f'{name}/Walk'] + found[f'{name}/Sit']) / 2)


def test_a_perfect_prediction_and_a_mirrored_one():
    predictions = make_predictions()
    predictions['pred_m'] = predictions['target_m'] - predictions['target_m'][:, :, :1]
    perfect = evaluate(predictions, None, type='DepthOrderAccuracy')
    assert perfect == dict.fromkeys(perfect, 100.0) and len(perfect) == 7
    predictions['pred_m'] = predictions['pred_m'] * torch.tensor([1.0, 1, -1])
    mirrored = evaluate(predictions, None, type='DepthOrderAccuracy')
    assert mirrored['PairwiseOrdinal'] == 0 and mirrored['OrdinalDepth'] < 10


def test_hidden_and_doubtful_joints_have_no_effect():
    predictions = make_predictions()
    predictions['target_visible'][:, :, 0] = True
    expected = evaluate(predictions, type='DepthOrderAccuracy')
    assert evaluate(spoil_hidden(predictions), type='DepthOrderAccuracy') == pytest.approx(expected)
    trusted = predictions['target_confidence'] > 0.5
    doubtful = {**predictions, 'target_visible': predictions['target_visible'] & trusted}
    assert evaluate(predictions, type='DepthOrderAccuracy', min_confidence=0.5) == pytest.approx(
        evaluate(doubtful, type='DepthOrderAccuracy'))
    predictions['target_visible'][:] = False
    nothing = evaluate(predictions, type='DepthOrderAccuracy')
    assert all(np.isnan(value) for value in nothing.values()) and 'PCKt@1/action-wise' not in nothing


def test_names_of_the_original():
    predictions = make_predictions()
    expected = evaluate(predictions, type='DepthOrderAccuracy')
    for name in ('PairwiseOrdinalAccuracy', 'OrdinalDepthAccuracy'):
        assert evaluate(predictions, type=name) == expected
    found = evaluate(predictions, type='PCK3D150mm')
    assert found['PCK3D@150'] == pytest.approx(evaluate(predictions, type='MPJPE')['PCK@150'])
    assert found['PCK3D@150/action-wise'] == pytest.approx((found['PCK3D@150/Walk'] + found['PCK3D@150/Sit']) / 2)
    assert set(evaluate(predictions, None, type='PCK3D', thresholds_mm=[100, 50.5])) == {'PCK3D@100', 'PCK3D@50.5'}
    with pytest.raises(ConfigError, match='thresholds_mm'):
        evaluate(predictions, type='PCK3D', thresholds_mm=[])
