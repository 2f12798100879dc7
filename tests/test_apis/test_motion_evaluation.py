from dataclasses import replace

import numpy as np
import pytest
import torch

from motionlab.apis import motion_evaluation as protocol
from motionlab.apis.pretrained import build_model
from motionlab.body import load_body
from motionlab.datasets.motion_store import open_motion_store
from motionlab.models.rollout_options import RolloutOptions
from motionlab.utils import ConfigError, DataError
from tests.motion_models import model_config
from tests.motion_stores import write_motion_store

QUICK = RolloutOptions(num_steps=1, snap=True, reproject=True)


@pytest.fixture(scope='module')
def body(small_body_file):
    return load_body(small_body_file, num_betas=16)


@pytest.fixture(scope='module')
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp('store') / 'test.npz'
    return open_motion_store(write_motion_store(path, (410, 40, 2, 160), changes={'trans': lambda trans: trans % 1}))


def _model(body, **options):
    torch.manual_seed(0)
    return build_model(model_config(body, **options))


def test_first_poses_begin_pieces(store):
    assert protocol.first_poses(store, 'realism', 2).tolist() == [0, 150, 300, 410, 450, 452, 602]
    assert protocol.first_poses(store, 'realism', 3).tolist() == [0, 150, 300, 410, 452, 602]  # Too short for a seed.
    assert protocol.first_poses(store, 'control', 2).tolist() == [0, 400, 410, 450, 452]
    assert protocol.first_poses(store, 'realism', 2, limit=3).tolist() == [0, 410, 602]
    with pytest.raises(DataError, match='at least 500'):
        protocol.first_poses(store, 'realism', 500)


def test_small_test_sets_count_as_published(tmp_path):
    names = {'datasets': lambda names: np.array(['SFU', 'SFU', 'X'])}
    few = open_motion_store(write_motion_store(tmp_path / 'a.npz', (150 * 100, 150 * 100, 300), changes=names))
    assert len(protocol.first_poses(few, 'realism', 2)) == 160 + 2
    assert len(protocol.first_poses(few, 'control', 2)) == 38 + 38 + 1


def test_both_variants_begin_with_the_same_poses(store, body, monkeypatch):
    """Two frames are a seed of the one and none of the other: evenly spread poses would all be others."""
    begun = []
    monkeypatch.setattr(protocol, '_generate', lambda model, store, rows, *_: begun.append(rows.tolist()) or (
        {'body_joints': torch.rand(2, 300, 22, 3)}, 1.0))
    for order in (1, 2):
        protocol.evaluate_generation(_model(body, order=order), body, store, 'realism', options=QUICK, limit=2)
    assert begun == [[0, 602]] * 2
    for order in (1, 2):
        protocol.evaluate_generation(_model(body, order=order), body, store, 'realism', options=QUICK)
    assert begun[2] == begun[3] == [0, 150, 300, 410, 452, 602]


def test_a_row_for_each_condition(store, body):
    report = protocol.evaluate_generation(_model(body), body, store, 'control', options=QUICK, limit=2)
    assert len(report.rows) == 8 + 2 and (report.num_motions, report.num_states) == (16, 2)
    every = report.rows['all']
    assert set(every) == {'skating', 'non_collision', 'seam_jerk', 'jerk', 'velocity_error', 'direction_error'}
    single = [values for name, values in report.rows.items() if 'deg' in name]
    assert every['velocity_error'] == pytest.approx(np.mean([values['velocity_error'] for values in single]))
    assert every['non_collision'] == 1  # Set on the ground.
    assert report.pose_distance == 'not available' and report.as_dict()['nrdf'] == 'not available'
    np.testing.assert_allclose(report.ways['90 deg, 4 m/s'], [0, 0, 12], atol=1e-9)
    assert report.motions['0 deg, 1 m/s'].shape == (90, 22, 3) and 'recorded' in report.rows


@pytest.mark.parametrize('setting', ['realism', 'principled'])
def test_batches_and_limits_change_no_motion(store, body, setting):
    model = _model(body, order=2)
    one = protocol.evaluate_generation(model, body, store, setting, options=QUICK, limit=2, batch_size=1)
    both = protocol.evaluate_generation(model, body, store, setting, options=QUICK, limit=2, batch_size=8)
    for name, values in one.rows.items():
        assert both.rows[name] == pytest.approx(values, rel=1e-3)
    shown = {'realism': (240, ['free', 'free 2']), 'principled': (90, ['left_kick', 'right_kick', 'run_forward',
                                                                       'flip_back', 'roll_forward'])}[setting]
    assert list(both.motions) == shown[1] and both.motions[shown[1][0]].shape == (shown[0], 22, 3)
    other = protocol.evaluate_generation(model, body, store, setting, options=QUICK, limit=2, seed=1)
    assert other.rows['all']['jerk'] != both.rows['all']['jerk']


@pytest.mark.parametrize(('setting', 'adapter', 'rows'), [
    ('spatial', dict(kind='controlnet2', control='goal', goal_dim=2), 8),
    ('action', dict(kind='controlnet2', control='action', num_actions=3), 3)])
def test_adapters_have_settings_of_their_own(store, body, setting, adapter, rows):
    model = _model(body, backbone=dict(adapter=adapter))
    report = protocol.evaluate_generation(model, body, store, setting, options=QUICK, limit=2, shapes='recorded',
                                          pose_network=lambda poses: torch.ones(len(poses)))
    assert len([name for name in report.rows if name not in ('all', 'recorded')]) == rows
    assert report.pose_distance == pytest.approx(1000) and ('location_error' in report.rows['all']) == (
        setting == 'spatial')
    with pytest.raises(ConfigError, match='no adapter'):
        protocol.evaluate_generation(_model(body), body, store, setting, options=QUICK)


def test_bad_options_are_named(store, body):
    for options in (dict(shapes='mean'), dict(limit=0), dict(batch_size=0), dict(seed=-1)):
        with pytest.raises(ConfigError, match='expected one of'):
            protocol.evaluate_generation(_model(body), body, store, **options)
    with pytest.raises(ConfigError, match='setting'):
        protocol.evaluate_generation(_model(body), body, store, 'beauty')


def test_motion_that_is_not_finite_gets_no_marks(store, body):
    model = _model(body)
    with torch.no_grad():
        model.backbone.out_fc.bias.fill_(torch.nan)
    with pytest.raises(DataError, match='NaN or infinity in 2 of 2 motions'):
        protocol.evaluate_generation(model, body, store, options=QUICK, limit=2)


def test_stores_of_another_rate_or_body_are_refused(store, body):
    with pytest.raises(ConfigError, match=r'test\.npz: found 60 frames per second and a codec of 30'):
        protocol.evaluate_generation(_model(body), body, replace(store, fps=60.0), options=QUICK)
    other = ('smplh neutral v: 6890 vertices, SMPLH_NEUTRAL.npz (0123456789ab)',)
    with pytest.raises(ConfigError, match='prepared with smplh neutral'):
        protocol.evaluate_generation(_model(body), body, replace(store, bodies=other), options=QUICK)
