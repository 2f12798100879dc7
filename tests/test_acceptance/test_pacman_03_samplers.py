import numpy as np
import pytest

from motionlab.models import FrameOptions, FrameRollout
from motionlab.models.heads.flow_samplers import solve
from tests.flow_oracles import plain_dpm, plain_euler, toy_velocity
from tests.frame_models import Spy, latents, make_batch, make_model


@pytest.mark.parametrize(('solver', 'plain'), [('euler', plain_euler), ('dpm++', plain_dpm)])
@pytest.mark.parametrize('shift', [1.0, 3.0])
@pytest.mark.parametrize('num_steps', [1, 2, 4, 20, 40])
def test_pacman_03_trajectories(solver, plain, shift, num_steps):
    """DPM++ and Euler trajectories equal those of the formulas, written down once more in float64."""
    path = []

    def velocity(x, sigma):
        path.append(x.double().numpy())
        return toy_velocity(x, sigma)

    x = latents(2, 4, 8, 8)
    result = solve(velocity, x, num_steps, shift, solver)
    expected = plain(toy_velocity, x.double().numpy(), num_steps, shift)
    for mine, theirs in zip([*path[1:], result.double().numpy()], expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=3e-6, atol=3e-6)


@pytest.mark.parametrize('solver', ['euler', 'dpm++'])
@pytest.mark.parametrize(('guidance', 'rows'), [(1.0, 2), (2.0, 4)])
def test_pacman_03_one_forward_per_step(solver, guidance, rows, monkeypatch):
    """NFE = steps; w = 1 makes one forward per step of B samples, guidance one of 2 B."""
    model = make_model()
    spy = Spy(model.backbone, 'forward', monkeypatch)
    for num_steps in (1, 4, 7):
        rollout = FrameRollout(model, FrameOptions(num_steps, solver, guidance))
        batch = make_batch(2)
        spy.calls.clear()
        rollout.step(rollout.begin(rollout.encode(batch['history']), batch['actions'][:, :1]), 0)
        assert len(spy) == num_steps and {len(call[0][0]) for call in spy.calls} == {rows}
