import pytest
import torch

from motionlab.models.heads import VariationalHead
from motionlab.utils import ConfigError
from motionlab.utils.random import seed_iteration

TERMS = {'kl': torch.tensor([10.0, 20.0]), 'v2v_l1': torch.tensor([0.1, 0.3]), 'jtr_l1': torch.tensor([0.4, 0.2]),
         'geo': torch.tensor([1.0, 2.0])}


@pytest.mark.parametrize(('epoch', 'expected'), [(0, 4.475), (14, 4.475), (15, 0.875), (99, 0.875)])
def test_extra_terms_count_in_the_first_epochs_only(epoch, expected):
    losses = VariationalHead().loss(TERMS, epoch)
    assert losses['loss'].item() == losses['total'].item() == pytest.approx(expected)
    means = {key: losses[key].item() for key in TERMS}  # All terms are logged in any epoch.
    assert means == pytest.approx(dict(kl=15, v2v_l1=0.2, jtr_l1=0.3, geo=1.5))


def test_weights_are_those_of_the_config():
    head = VariationalHead(kl_weight=1, v2v_weight=0, geo_weight=0, jtr_weight=10, extra_terms_until_epoch=1)
    assert head.loss(TERMS, 0)['loss'].item() == pytest.approx(18)
    assert head.loss(TERMS, 1)['loss'].item() == pytest.approx(15)


@pytest.mark.parametrize('options', [dict(kl_weight=-1), dict(geo_weight=-0.1), dict(extra_terms_until_epoch=-1)])
def test_negative_settings(options):
    with pytest.raises(ConfigError, match='VariationalHead'):
        VariationalHead(**options)


def test_noise_is_drawn_for_the_global_batch():
    mean, scale = torch.randn(6, 3), torch.rand(6, 3)
    seed_iteration(0, 0, 1, 9)
    whole = VariationalHead().sample(mean, scale)
    for rank in range(2):
        seed_iteration(0, rank, 2, 9)
        assert torch.equal(VariationalHead().sample(mean[rank::2], scale[rank::2]), whole[rank::2])
    assert torch.equal(VariationalHead().sample(mean, torch.zeros(6, 3)), mean)
