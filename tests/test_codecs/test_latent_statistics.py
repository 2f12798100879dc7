"""Mean and spread of latent channels."""

import pytest
import torch

from motionlab.codecs.latent_statistics import LatentStatistics
from motionlab.utils import ConfigError, DataError


def latents(*shape: int) -> torch.Tensor:
    torch.manual_seed(0)
    scale, shift = torch.tensor([0.5, 20.0, 3.0]), torch.tensor([100.0, -3.0, 0.0])
    return torch.randn(*shape[:-3], *shape[-2:], 3).mul(scale).add(shift).movedim(-1, -3)


def test_normalised_latents_have_zero_mean_and_unit_variance():
    values, statistics = latents(5, 2, 3, 8, 6), LatentStatistics(3)
    statistics.fit([values[:2], values[2]])
    assert statistics.is_fitted
    seen = values[:3].movedim(2, -1).reshape(-1, 3).double()
    torch.testing.assert_close(statistics.mean, seen.mean(0).float())
    torch.testing.assert_close(statistics.std, seen.std(0, correction=0).float())
    again = statistics.denormalise(statistics.normalise(values))
    torch.testing.assert_close(again, values, rtol=1e-6, atol=1e-5)


def test_parts_of_any_size_give_the_same():
    values = latents(6, 3, 4, 4)
    one, other = LatentStatistics(3), LatentStatistics(3)
    one.fit([values])
    other.fit(part for part in values)
    torch.testing.assert_close(one.std, other.std)


def test_constant_channel_is_only_centred():
    values, statistics = latents(4, 3, 4, 4), LatentStatistics(3)
    values[:, 1] = 7.3
    statistics.fit([values])
    assert statistics.std[1] == 1
    assert statistics.normalise(values)[:, 1].abs().max() < 1e-6


def test_unfitted_says_what_to_do():
    with pytest.raises(ConfigError, match=r'CodecStatisticsHook.*codec\.fit'):
        LatentStatistics(3).normalise(torch.zeros(1, 3, 2, 2))


@pytest.mark.parametrize('parts', [[], [torch.full((1, 3, 2, 2), torch.nan)], [torch.zeros(0, 3, 2, 2)]])
def test_nothing_to_learn_from_is_refused(parts):
    statistics = LatentStatistics(3)
    with pytest.raises(DataError, match='training set: latents'):
        statistics.fit(parts)
    assert not statistics.is_fitted


def test_loading_tells_whether_it_is_fitted():
    fitted, fresh = LatentStatistics(3), LatentStatistics(3)
    fitted.fit([latents(2, 3, 4, 4)])
    fresh.load_state_dict(fitted.state_dict())
    assert fresh.is_fitted and torch.equal(fresh.std, fitted.std)
    fitted.load_state_dict(LatentStatistics(3).state_dict())
    assert not fitted.is_fitted
