"""The options of MPJPE: joint sets, skip list, confidence filter. What it computes: test_metrics.py."""

import numpy as np
import pytest
import torch

from motionlab.body.skeletons import H36M_17
from motionlab.evaluation.functional import pose
from motionlab.evaluation.metrics.mpjpe import JOINT_SETS
from motionlab.utils import ConfigError
from tests.test_evaluation.predictions import META, evaluate, make_predictions

# Entry i is the MPI-INF-3DHP joint at place i of Human3.6M's order.
_3DHP_OF_H36M = [14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4]


def test_joint_set_is_that_of_the_official_protocol():
    indices = [H36M_17.index(name) for name in JOINT_SETS['3dhp14']]
    assert [_3DHP_OF_H36M[i] for i in indices] == list(range(14))
    assert sorted(H36M_17.index(name) for name in JOINT_SETS['3dhp16']) == [i for i in range(17) if i != 9]


def test_joint_sets_are_root_aligned_and_reported_by_action_too():
    predictions = make_predictions()
    found = evaluate(predictions, type='MPJPE', joints='3dhp14')
    indices = [H36M_17.index(name) for name in JOINT_SETS['3dhp14']]
    pred, target = ((p - p[:, :, :1])[:, 0, indices] for p in (predictions['pred_m'], predictions['target_m']))
    visible = predictions['target_visible'][:, 0, indices]
    errors = pose.joint_errors(pred, target)
    expected = {'MPJPE/14': 1000 * pose.masked_mean(errors, visible), 'PCK@150/14': pose.pck(errors, visible),
                'AUC/14': pose.auc(errors, visible)}
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    for name in expected:
        assert found[f'{name}/action-wise'] == pytest.approx((found[f'{name}/Walk'] + found[f'{name}/Sit']) / 2)
    plain = evaluate(predictions, type='MPJPE')
    assert {name: found[name] for name in plain} == plain
    assert 'MPJPE/16' in evaluate(predictions, type='MPJPE', joints=['3dhp14', '3dhp16'])
    with pytest.raises(ConfigError, match=r"joints=\['3dhp13'\]"):
        evaluate(predictions, type='MPJPE', joints=['3dhp13'])


def test_confidence_filter_leaves_joints_out_of_numerator_and_denominator():
    predictions = make_predictions()
    predictions['target_confidence'][0, 0, 5] = torch.nan                        # not above the bound
    predictions['target_confidence'][0, 0, 6] = 0.3
    trusted = predictions['target_confidence'] > 0.3
    by_hand = {**predictions, 'target_visible': predictions['target_visible'] & trusted}
    found = evaluate(predictions, type='MPJPE', min_confidence=0.3, joints='3dhp14')
    assert found == pytest.approx(evaluate(by_hand, type='MPJPE', joints='3dhp14'))
    assert found['MPJPE'] != pytest.approx(evaluate(predictions, type='MPJPE')['MPJPE'])
    spoilt = {**predictions, 'pred_m': torch.where(trusted[..., None], predictions['pred_m'], 9.0)}
    again = evaluate(spoilt, type='MPJPE', min_confidence=0.3, align_over='visible')
    assert again['MPJPE'] == pytest.approx(found['MPJPE']) and again['PCK@150'] == pytest.approx(found['PCK@150'])
    del predictions['target_confidence']
    with pytest.raises(ConfigError, match='MPJPE needs target_confidence'):
        evaluate(predictions, type='MPJPE', min_confidence=0.3)


def test_skip_list_compares_whole_stems():
    predictions = make_predictions()
    names = ['S9_Greeting.55011271', 'S9_Greeting_1.55011271', 'S11_Greeting.1']
    meta = dict(clip_names=names, clip_actions=['Greeting'] * 3)
    kept = predictions['clip_index'] != 0
    expected = evaluate({key: value[kept] for key, value in predictions.items()} |
                        {'sample_index': torch.arange(int(kept.sum()))}, meta, type='MPJPE')
    assert evaluate(predictions, meta, type='MPJPE', skip_list=['S9_Greeting']) == pytest.approx(expected)
    everything = evaluate(predictions, meta, type='MPJPE')
    assert evaluate(predictions, meta, type='MPJPE', skip_list=['S9_Greet', 'Greeting']) == everything
    with pytest.raises(ConfigError, match='no clip_names'):
        evaluate(predictions, None, type='MPJPE', skip_list=['S9_Greeting'])
    nothing = evaluate(predictions, dict(META, clip_names=['S9_Greeting.1'] * 3), type='MPJPE',
                       skip_list=['S9_Greeting'])
    assert np.isnan(nothing['MPJPE']) and 'MPJPE/action-wise' not in nothing
