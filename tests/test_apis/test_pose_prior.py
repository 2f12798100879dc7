import numpy as np
import pytest
import torch

from motionlab.apis.pose_prior import embed, evaluating, interpolate, reconstruct, sample
from motionlab.utils import ConfigError, DataError
from tests.test_apis.tiny_prior import global_rng_states, make_prior


@pytest.fixture(scope='module')
def prior():
    return make_prior()


@pytest.fixture(scope='module')
def poses():
    return torch.randn(5, 63, generator=torch.Generator().manual_seed(0))


def test_samples_have_the_latents_of_the_legacy_generator(prior):
    found = sample(prior, 3, seed=7)
    z = np.random.RandomState(7).normal(size=(3, 32))
    torch.testing.assert_close(found['z'], torch.from_numpy(z.astype(np.float32)), rtol=0, atol=0)
    assert found['pose_body'].shape == (3, 21, 3) and found['pose_body_matrot'].shape == (3, 21, 9)
    with torch.no_grad():
        torch.testing.assert_close(found['pose_body'], prior.decode(found['z'])['pose_body'], rtol=0, atol=0)
    assert not torch.equal(found['z'], sample(prior, 3, seed=8)['z'])


def test_nothing_is_left_behind(prior, poses):
    prior.train()
    prior.backbone.encoder_net[1].eval()  # Modes may be mixed: a frozen batch norm, say.
    modes = [module.training for module in prior.modules()]
    before = global_rng_states()
    statistics = prior.backbone.encoder_net[4].running_mean.clone()
    answers = [sample(prior, 2, 0), reconstruct(prior, poses), interpolate(prior, *embed(prior, poses[:2]),
                                                                           torch.tensor([0.5]))]
    assert global_rng_states() == before
    assert [module.training for module in prior.modules()] == modes
    assert torch.equal(prior.backbone.encoder_net[4].running_mean, statistics)
    assert not any(value.requires_grad for answer in answers for value in answer.values())
    assert torch.equal(answers[1]['z'], embed(prior.eval(), poses)), 'dropout was on'


def test_the_mode_comes_back_after_an_error(prior):
    prior.train()
    with pytest.raises(RuntimeError), evaluating(prior):
        assert not prior.training
        raise RuntimeError
    assert prior.backbone.training
    prior.eval()


def test_reconstruct_decodes_the_mean(prior, poses):
    found = reconstruct(prior, poses.unflatten(1, (21, 3)))
    with torch.no_grad():
        expected = prior.decode(prior.encode(poses).mean)
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=0, atol=0)


def test_interpolation_is_a_straight_line_that_ends_at_its_ends(prior):
    first, second = sample(prior, 2, seed=0)['z']
    found = interpolate(prior, first, second, torch.tensor([1.0, 0.25, 0.0]))
    torch.testing.assert_close(found['z'], torch.stack([first, 0.25 * first + 0.75 * second, second]))
    torch.testing.assert_close(found['pose_body'][[0, 2]], sample(prior, 2, seed=0)['pose_body'])


@pytest.mark.parametrize(('bad', 'message'), [
    (torch.zeros(2, 66), r'found shape \(2, 66\), expected \(B, 63\)'), (torch.zeros(0, 63), r'shape \(0, 63\)'),
    (torch.zeros(63), r'shape \(63,\)'), (torch.zeros(3, 7, 9), r'shape \(3, 7, 9\)'),
    (torch.full((2, 63), torch.nan), '2 of 2 rows with NaN')])
def test_wrong_poses(prior, bad, message):
    with pytest.raises(DataError, match=message):
        reconstruct(prior, bad)


def test_wrong_requests(prior):
    z = torch.zeros(32)
    with pytest.raises(ConfigError, match='num_samples=0'):
        sample(prior, 0, seed=0)
    with pytest.raises(ConfigError, match='seed: found -1'):
        sample(prior, 1, seed=-1)
    with pytest.raises(DataError, match=r'second: found shape \(1, 32\)'):
        interpolate(prior, z, z[None], torch.ones(1))
    with pytest.raises(DataError, match=r'alphas: found shape \(\)'):
        interpolate(prior, z, z, torch.tensor(0.5))
