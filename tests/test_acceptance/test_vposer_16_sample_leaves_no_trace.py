import pytest
import torch

from motionlab.apis.pose_prior import sample
from tests.test_apis.tiny_prior import global_rng_states, make_prior


@pytest.mark.parametrize('training', [True, False])
def test_vposer_16_sample_leaves_no_trace(training):
    """sample() leaves global RNGs and training mode untouched."""
    prior = make_prior().train(training)
    before = global_rng_states()
    first = sample(prior, 4, seed=123)
    assert global_rng_states() == before
    assert all(module.training == training for module in prior.modules())
    assert not first['pose_body'].requires_grad
    again = sample(prior, 4, seed=123)
    assert all(torch.equal(first[key], again[key]) for key in first), 'dropout was on, or the seed did not count'
