import copy

import numpy as np
import pytest
import torch

from motionlab.apis import PosePriorInferencer, pose_prior
from motionlab.apis.body_ik import LBFGS, fit_body, joint_keypoints
from motionlab.apis.inferencers import FitTargets
from motionlab.body import load_body
from motionlab.engine.checkpoint import write_checkpoint
from motionlab.utils import ConfigError, DataError
from tests.pose_priors import random_poses
from tests.test_apis.tiny_prior import make_prior, prior_config

POSES = torch.from_numpy(random_poses(5))
FEW = LBFGS(max_iter=3)


@pytest.fixture(scope='module')
def body(small_body_file):
    return load_body(small_body_file)


@pytest.fixture(scope='module')
def inferencer(body):
    return PosePriorInferencer(make_prior(), body=body, batch_size=2)


def test_samples(inferencer):
    answer = inferencer.sample(3, seed=5, draw='mesh')
    expected = pose_prior.sample(inferencer.model, 3, seed=5)
    np.testing.assert_array_equal(answer['predictions'].pose_body, expected['pose_body'].flatten(1))
    np.testing.assert_array_equal(answer['predictions'].z, expected['z'])
    assert answer['visualization'].dtype == np.uint8 and (answer['visualization'] < 200).any()
    assert inferencer.sample(3)['visualization'] is None


def test_interpolation_ends_at_reconstructions(inferencer):
    answer = inferencer.interpolate(POSES, rows=(1, -1), num_steps=5, draw='skeleton')
    found = answer['predictions']
    np.testing.assert_allclose(found.extras['alpha'], [1, 0.75, 0.5, 0.25, 0])
    ends = pose_prior.reconstruct(inferencer.model, POSES[[1, 4]])
    np.testing.assert_allclose(found.pose_body[[0, 4]], ends['pose_body'].flatten(1), atol=1e-5)
    assert answer['visualization'].shape[1] == 5 * 256
    sampled = inferencer.interpolate(seed=3, num_steps=2)['predictions']
    np.testing.assert_allclose(sampled.z, pose_prior.sample(inferencer.model, 2, seed=3)['z'], atol=1e-6)


def test_reconstructions_do_not_depend_on_batches(inferencer, body):
    found = inferencer.reconstruct(POSES, draw='mesh', num_drawn=2)
    poses = found['predictions']
    expected = pose_prior.reconstruct(inferencer.model, POSES)
    np.testing.assert_allclose(poses.pose_body, expected['pose_body'].flatten(1), atol=1e-5)
    joints = [body.joints(pose_body=pose)[:, :22] for pose in (POSES, expected['pose_body'])]
    errors_mm = 1000 * (joints[0] - joints[1]).norm(dim=-1).mean(-1)
    np.testing.assert_allclose(poses.extras['error_mm'], errors_mm, rtol=1e-3)
    assert poses.extras['error_deg'].shape == (5,) and (poses.extras['error_deg'] > 1).all()
    assert found['visualization'].shape == (556, 512, 3)
    bodiless = PosePriorInferencer(inferencer.model).reconstruct(POSES)['predictions']
    assert set(bodiless.extras) == {'error_deg'}
    np.testing.assert_allclose(bodiless.extras['error_deg'], poses.extras['error_deg'], atol=1e-3)


def test_fits_are_those_of_each_batch(inferencer, body, tmp_path):
    joints = body.joints(pose_body=POSES[:3], transl=torch.tensor([0.3, 0.1, 0.0]))[:, :22].numpy()
    confidence = np.ones((3, 22), np.float32)
    joints[2], confidence[2] = np.nan, 0
    np.savez(tmp_path / 'targets.npz', keypoints=joints, confidence=confidence, mocap_frame_rate=50.0, up_axis='z')
    answer = inferencer.fit(tmp_path / 'targets.npz', optimizer=FEW, draw=True)
    poses = answer['predictions']
    first = fit_body(inferencer.model, joint_keypoints(body), torch.from_numpy(joints[:2]), optimizer=FEW,
                     data_loss='mse_sum')
    np.testing.assert_array_equal(poses.z[:2], first.poZ)
    np.testing.assert_array_equal(poses.extras['error_mm'][:2], first.error_mm)
    assert np.isnan(poses.extras['error_mm'][2]) and poses.extras['left_out'].tolist() == [False] * 3
    assert len(answer['history']) == 2 and poses.betas.shape == (3, 16) and poses.trans.shape == (3, 3)
    assert (poses.fps, poses.up_axis) == (50.0, 'z') and poses.body == body.description.shape_space
    assert (answer['visualization'] < 200).any()
    poses.save(tmp_path / 'fits.npz')


def test_markers_and_an_aligned_start(inferencer, body):
    ids = tuple(range(3, 390, 20))
    turned = body.markers(ids)(None, torch.tensor([[0., 2.8, 0]]), POSES[:1], torch.tensor([[0., 1, 2]]))
    targets = FitTargets(turned, vertex_ids=ids)
    aligned, zeros = (inferencer.fit(targets, optimizer=FEW, start=start)['predictions'].extras['error_mm'].item()
                      for start in ('aligned', 'zeros'))
    assert aligned < zeros / 2
    with pytest.raises(DataError, match=r'vertex_ids: found \[400\], expected 0 to 399'):
        inferencer.fit(FitTargets(turned, vertex_ids=(*ids[:-1], 400)))


def test_from_a_config_and_weights(tmp_path, body):
    model = make_prior()
    write_checkpoint({'meta': {}, 'state_dict': model.state_dict()}, tmp_path / 'weights.pth')
    loaded = PosePriorInferencer({'model': prior_config()}, tmp_path / 'weights.pth')
    np.testing.assert_array_equal(loaded.sample(2)['predictions'].pose_body,
                                  PosePriorInferencer(model).sample(2)['predictions'].pose_body)


def test_a_model_keeps_its_mode(inferencer, body):
    model = copy.deepcopy(inferencer.model).train()
    own = PosePriorInferencer(model, body=body)
    expected = inferencer.reconstruct(POSES)['predictions'].pose_body
    np.testing.assert_allclose(own.reconstruct(POSES)['predictions'].pose_body, expected, atol=1e-5)
    own.sample(1)
    assert all(module.training for module in model.modules())


def test_what_is_refused(inferencer):
    bodiless = PosePriorInferencer(inferencer.model)
    for call in (lambda: bodiless.sample(2, draw='mesh'), lambda: bodiless.reconstruct(POSES, draw='mesh'),
                 lambda: bodiless.fit(FitTargets(torch.zeros(1, 22, 3)))):
        with pytest.raises(ConfigError, match='need a body, found none'):
            call()
    with pytest.raises(ConfigError, match='without checkpoint'):
        PosePriorInferencer({'model': prior_config()})
    with pytest.raises(ConfigError, match='a checkpoint beside it'):
        PosePriorInferencer(inferencer.model, 'weights.pth')
    with pytest.raises(ConfigError, match='found a Linear, expected a PosePrior'):
        PosePriorInferencer(torch.nn.Linear(2, 2))
    with pytest.raises(ConfigError, match='batch_size=0'):
        PosePriorInferencer(inferencer.model, batch_size=0)
    with pytest.raises(ConfigError, match='num_steps=1'):
        inferencer.interpolate(num_steps=1)
    with pytest.raises(DataError, match=r'rows: found \(0, 5\)'):
        inferencer.interpolate(POSES, rows=(0, 5))
    with pytest.raises(DataError, match=r'rows: found \(0,\), expected two rows of'):
        inferencer.interpolate(POSES, rows=(0,))
    with pytest.raises(ConfigError, match='num_drawn=0'):
        inferencer.reconstruct(POSES, draw='skeleton', num_drawn=0)
    with pytest.raises(DataError, match='confidence: found zero everywhere'):
        inferencer.fit(FitTargets(torch.zeros(1, 22, 3), torch.zeros(1, 22)))
    with pytest.raises(ConfigError, match="start='near'"):
        inferencer.fit(FitTargets(torch.zeros(1, 22, 3)), start='near')
