import numpy as np
import pytest
import torch

from motionlab.apis.inferencers import MotionGenerationInferencer
from motionlab.apis.motion_files import read_motion
from motionlab.apis.pretrained import build_model
from motionlab.body import load_body
from motionlab.models.rollout_options import MotionControl, RolloutOptions
from motionlab.utils import ConfigError, DataError
from tests.amass_tree import write_motion
from tests.motion_models import model_config
from tests.motion_stores import write_motion_store
from tests.test_apis.tiny_prior import global_rng_states

QUICK = RolloutOptions(num_steps=2)


@pytest.fixture(scope='module', params=[1, 2], ids=['velocity', 'acceleration'])
def inferencer(request, small_body_file):
    torch.manual_seed(0)
    return MotionGenerationInferencer(build_model(model_config(None, request.param)),
                                      body=load_body(small_body_file, num_betas=16))


def test_files_and_pictures(inferencer, tmp_path):
    before = global_rng_states()
    seeds = [inferencer.random_seed(0), inferencer.random_seed(1)]
    answer = inferencer.generate(seeds, 20, controls=MotionControl(direction=(0., 0., 2.), speed=1.5), options=QUICK)
    assert global_rng_states() == before
    motions = answer['predictions']
    assert len(motions) == 2 and len(motions.motions[0]) == 20 and motions.network_joints.shape == (2, 20, 22, 3)
    assert motions.scores['skating'].shape == (2,) and answer['visualization'].shape == (2 * 182, 9 * 160, 3)
    np.testing.assert_allclose(motions.ways[1], [0, 0, 1.5 * 20 / 30], atol=1e-6)
    for motion, seed in zip(motions.motions, seeds):
        np.testing.assert_allclose(motion.joints[0], seed.joints[0], atol=1e-4)  # Frame 0 is the seed.
    files = motions.save(tmp_path, ('.npz', '.bvh', '.png', '.gif', '.mp4'))
    assert sorted(path.name for path in files) == sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ['motion_0.npz', 'motion_0.bvh', 'motion_1.npz', 'motion_1.bvh', 'motions.png', 'motions.gif', 'motions.mp4'])
    again = read_motion(tmp_path / 'motion_1.npz', inferencer.body)
    np.testing.assert_allclose(again.joints, motions.motions[1].joints, atol=1e-5)
    with pytest.raises(ConfigError, match='formats'):
        motions.save(tmp_path, ('.fbx',))


def test_a_motion_does_not_depend_on_those_beside_it(inferencer):
    seeds = [inferencer.random_seed(number) for number in range(3)]
    together = inferencer.generate(seeds, 17, options=QUICK, draw=False)['predictions']
    alone = inferencer.generate(seeds[0], 17, options=QUICK, draw=False)['predictions']
    np.testing.assert_allclose(alone.motions[0].joints, together.motions[0].joints, atol=1e-4)
    other = inferencer.generate(seeds[0], 17, seed=1, options=QUICK, draw=False)['predictions']
    assert np.abs(other.motions[0].joints - alone.motions[0].joints).max() > 1e-3
    assert inferencer.generate(seeds[0], 1, draw=False)['predictions'].scores == {}


def test_seeds_of_files(inferencer, tmp_path):
    count = inferencer.model.codec.num_seed_frames
    path = write_motion(tmp_path / 'a_stageii.npz', 80, fps=60)
    seed = inferencer.seed_of_file(path, 7)
    whole = read_motion(path, inferencer.body)
    assert len(seed) == count
    np.testing.assert_array_equal(seed.joints, whole.joints[7:7 + count])
    store = write_motion_store(tmp_path / 'store.npz', (20, 30))
    found = inferencer.seed_of_file(store, 25)
    assert found.trans[:, 0].tolist() == list(range(25, 25 + count)) and found.joints.shape == (count, 22, 3)
    for bad in (20 - count + 1, 50, -1):  # Over the end of a sequence, of the store, before its beginning.
        with pytest.raises(DataError, match='frames'):
            inferencer.seed_of_file(store, bad)
    with pytest.raises(DataError, match='nothing'):
        inferencer.seed_of_file(tmp_path / 'absent.npz')
    fast = write_motion_store(tmp_path / 'fast.npz', (20,), changes={'fps': np.array(60.0)})
    with pytest.raises(ConfigError, match='found 60 frames per second'):
        inferencer.seed_of_file(fast)


def test_random_seeds_stand_on_the_ground(inferencer):
    one, other = inferencer.random_seed(3), inferencer.random_seed(4)
    assert one.joints[0, :, 1].min() == pytest.approx(0.01, abs=1e-5)
    assert (one.joints == one.joints[0]).all() and np.abs(one.joints - other.joints).max() > 0.01
    assert not inferencer.random_seed(3, still_shape=True).betas.any()


def test_wrong_models_are_named(small_body_file):
    model = build_model(model_config(small_body_file))
    with pytest.raises(ConfigError, match='one of the two'):
        MotionGenerationInferencer(model, 'weights.pth')
    with pytest.raises(ConfigError, match='random'):
        MotionGenerationInferencer(dict(model=model_config(small_body_file)))
    with pytest.raises(ConfigError, match='MotionDiffuser'):
        MotionGenerationInferencer(torch.nn.Linear(1, 1))
    with pytest.raises(ConfigError, match='no'):
        MotionGenerationInferencer(build_model(model_config(None)))
    with pytest.raises(ConfigError, match='no seed'):
        MotionGenerationInferencer(model).generate([], 5)
    seed = MotionGenerationInferencer(model).random_seed()
    with pytest.raises(ConfigError, match='seed=-1'):
        MotionGenerationInferencer(model).generate(seed, 5, seed=-1)
    with torch.no_grad():
        model.backbone.out_fc.bias.fill_(torch.inf)
    with pytest.raises(DataError, match='1 of 1 motions'):
        MotionGenerationInferencer(model).generate(seed, 5)
