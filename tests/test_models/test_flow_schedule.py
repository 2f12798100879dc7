import math

import pytest
import torch

from motionlab.models.heads.flow_schedule import DENSITIES, FlowSchedule, shift_sigma, sigma_table, timestep_density
from motionlab.utils import ConfigError
from motionlab.utils.random import seed_iteration
from tests.flow_oracles import shifted


def draws(density, size=2000):
    generator = torch.Generator().manual_seed(0)
    return (torch.randn if density == 'logit_normal' else torch.rand)(size, generator=generator)


@pytest.mark.parametrize('shift', [0.5, 1.0, 3.0])
def test_table_is_the_shifted_thousandths(shift):
    table = sigma_table(shift)
    assert table.dtype == torch.float64 and len(table) == 1000 and table[0] == 0
    expected = torch.tensor([shifted(i / 1000, shift) for i in range(1000)], dtype=torch.float64)
    torch.testing.assert_close(table, expected, rtol=0, atol=1e-12)


def test_densities_are_what_they_are_called():
    normal, uniform = draws('logit_normal'), draws('uniform')
    expected = [1 / (1 + math.exp(-(0.4 + 1.3 * n))) for n in normal.tolist()]
    torch.testing.assert_close(timestep_density(normal, 'logit_normal', 0.4, 1.3), torch.tensor(expected))
    assert torch.equal(timestep_density(uniform, 'uniform'), uniform)
    expected = [1 - u - 1.29 * (math.cos(math.pi * u / 2) ** 2 - 1 + u) for u in uniform.tolist()]
    torch.testing.assert_close(timestep_density(uniform, 'mode'), torch.tensor(expected))
    torch.testing.assert_close(timestep_density(uniform, 'mode', mode_scale=0.0), 1 - uniform)


@pytest.mark.parametrize('density', DENSITIES)
def test_densities_equal_diffusers(density):
    training_utils = pytest.importorskip('diffusers.training_utils')
    theirs = training_utils.compute_density_for_timestep_sampling(
        density, 2000, 0.0, 1.0, 1.29, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(timestep_density(draws(density), density), theirs)


@pytest.mark.parametrize('density', DENSITIES)
@pytest.mark.parametrize('shift', [1.0, 3.0])
def test_levels_and_times(density, shift):
    sample = draws(density)
    place = timestep_density(sample, density)
    sigma, time = FlowSchedule(shift, density).at(sample)
    torch.testing.assert_close(sigma, shift_sigma(place, shift))
    torch.testing.assert_close(time, 1000 * sigma)
    assert (time != time.floor()).float().mean() > 0.9 and time.dtype == torch.float32
    index = (1000 * place).long().clamp(max=999)  # In float32, as the original multiplies.
    sigma, time = FlowSchedule(shift, density, discrete=True).at(sample)
    assert torch.equal(sigma, sigma_table(shift).float()[index])
    assert time.tolist() == [math.floor(1000 * value) for value in sigma_table(shift)[index].tolist()]


def test_a_place_of_one_is_the_last_of_the_table():
    sigma, time = FlowSchedule(discrete=True).at(torch.tensor([40.0, -200.0]))  # sigmoid(40) is 1 in float32.
    assert sigma.tolist() == pytest.approx([0.999, 0.0]) and time.tolist() == [999.0, 0.0]


def test_draws_do_not_depend_on_the_number_of_processes():
    seed_iteration(0, 0, 1, 5)
    whole, _ = FlowSchedule().draw(4)
    parts = []
    for rank in range(2):
        seed_iteration(0, rank, 2, 5)
        parts.append(FlowSchedule().draw(2)[0])
    assert torch.equal(torch.stack(parts, dim=1).flatten(), whole)


def test_nothing_is_in_a_checkpoint():
    assert FlowSchedule(discrete=True).state_dict() == {}


@pytest.mark.parametrize('bad', [dict(density='beta'), dict(shift=0.0), dict(logit_std=-1.0), dict(mode_scale=2.0)])
def test_refuses(bad):
    with pytest.raises(ConfigError, match='FlowSchedule: found'):
        FlowSchedule(**bad)
    with pytest.raises(ConfigError, match="density: found 'beta'"):
        timestep_density(torch.rand(2), 'beta')
