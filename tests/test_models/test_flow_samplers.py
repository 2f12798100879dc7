import numpy as np
import pytest
import torch

from motionlab.models.heads.flow_samplers import sampling_sigmas, solve, solve_dpm, solve_euler, time_of
from motionlab.utils import ConfigError
from tests.flow_oracles import plain_dpm, plain_euler, toy_velocity

PLAIN = {'euler': plain_euler, 'dpm++': plain_dpm}


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize('solver', PLAIN)
@pytest.mark.parametrize('shift', [1.0, 3.0])
@pytest.mark.parametrize('num_steps', [1, 2, 3, 4, 20, 40])
def test_equals_the_formulas_step_by_step(solver, shift, num_steps):
    x, seen = noise(2, 3, 4, 5), []

    def velocity(x, sigma):
        seen.append(x.double().numpy())
        return toy_velocity(x, sigma)

    result = solve(velocity, x, num_steps, shift, solver)
    path = PLAIN[solver](toy_velocity, x.double().numpy(), num_steps, shift)
    assert len(seen) == num_steps  # One forward pass a step.
    for found, expected in zip([*seen[1:], result.double().numpy()], path, strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize('shift', [1.0, 3.0])
@pytest.mark.parametrize('num_steps', [1, 2, 5, 14, 15, 20, 40])
def test_dpm_equals_diffusers_with_exact_times(shift, num_steps):
    scheduler = pytest.importorskip('diffusers').DPMSolverMultistepScheduler(
        prediction_type='flow_prediction', use_flow_sigmas=True, flow_shift=shift, solver_order=2)
    scheduler.set_timesteps(num_steps)
    scheduler.set_begin_index(0)
    x = noise(2, 3, 4, 5)
    mine = sampling_sigmas(num_steps, shift, 'dpm++')
    torch.testing.assert_close(torch.tensor(mine), scheduler.sigmas, rtol=0, atol=1e-7)
    theirs = x
    for k, cut in enumerate(scheduler.timesteps):
        theirs = scheduler.step(toy_velocity(theirs, mine[k]), cut, theirs).prev_sample
    torch.testing.assert_close(solve_dpm(toy_velocity, x, mine), theirs, rtol=7e-5, atol=7e-5)


@pytest.mark.parametrize('shift', [1.0, 3.0])
def test_euler_equals_diffusers_given_its_sigmas(shift):
    scheduler = pytest.importorskip('diffusers').FlowMatchEulerDiscreteScheduler(shift=1.0)
    mine = sampling_sigmas(5, shift)
    scheduler.set_timesteps(sigmas=list(mine[:-1]))
    x = theirs = noise(2, 3, 4, 5)
    for k, time in enumerate(scheduler.timesteps):
        theirs = scheduler.step(toy_velocity(theirs, mine[k]), time, theirs).prev_sample
    torch.testing.assert_close(solve_euler(toy_velocity, x, mine), theirs, rtol=1e-5, atol=1e-6)


def test_the_shift_is_applied_once():
    sigmas = sampling_sigmas(2, 3.0)
    assert sigmas == pytest.approx((1.0, 0.75, 0.0))  # Applied twice at the low end, the middle would be 0.0089.


def test_straight_flows_are_exact_in_any_number_of_steps():
    x0, x = noise(2, 3), torch.ones(2, 3)
    for solver in PLAIN:
        for num_steps in (1, 2, 7):
            # On the straight path the velocity is (x - x0) / sigma.
            found = solve(lambda x, sigma: (x - x0) / sigma, x, num_steps, 1.0, solver)
            torch.testing.assert_close(found, x0)


def test_state_and_times_are_exact_whatever_the_network_computes_in():
    def velocity(x, sigma):
        assert x.dtype == torch.float32
        time = time_of(sigma, x.bfloat16())
        assert time.dtype == torch.float32 and time.tolist() == [torch.tensor(1000 * sigma).item()] * len(x)
        return toy_velocity(x, sigma).bfloat16()

    for solver in PLAIN:
        assert solve(velocity, noise(2, 3).bfloat16(), 3, 1.0, solver).dtype == torch.float32
    assert time_of(0.74925, noise(1)).item() == pytest.approx(749.25)


@pytest.mark.parametrize('bad', [dict(num_steps=0), dict(num_steps=2, solver='heun')])
def test_refuses(bad):
    with pytest.raises(ConfigError, match='at least 1 and one of'):
        sampling_sigmas(**bad)
    with pytest.raises(ConfigError, match=r'noise level 1\.0'):
        solve_dpm(toy_velocity, noise(2, 3), sampling_sigmas(2))
