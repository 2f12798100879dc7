"""The noise schedule for other numbers of steps than the published one."""

import math

import pytest
import torch

from motionlab.models.heads.noise_schedule import NoiseSchedule
from motionlab.utils import ConfigError


@pytest.mark.parametrize('num', [2, 10, 50, 1000])
def test_tables_follow_the_cosine(num):
    schedule = NoiseSchedule(num)

    def share(t: float) -> float:
        return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

    kept = 1.0
    for i in range(num):
        kept *= 1 - min(1 - share((i + 1) / num) / share(i / num), 0.999)
        assert schedule.alphas_cumprod[i].item() == pytest.approx(kept, rel=1e-4)
    assert not schedule.state_dict()


def test_the_end_of_the_published_schedule_is_noise():
    assert NoiseSchedule(50).alphas_cumprod[49].item() == pytest.approx(9.7e-7, rel=0.01)


def test_noise_has_its_share_for_each_sample():
    schedule = NoiseSchedule(50)
    x0, noise, t = torch.ones(3, 2, 4), torch.zeros(3, 2, 4), torch.tensor([0, 30, 49])
    torch.testing.assert_close(schedule.add_noise(x0, noise, t)[:, 0, 0], schedule.alphas_cumprod[t].sqrt())
    torch.testing.assert_close(schedule.add_noise(noise, x0, t)[:, 0, 0], (1 - schedule.alphas_cumprod[t]).sqrt())


@pytest.mark.parametrize('spacing', ['leading', 'trailing'])
@pytest.mark.parametrize('steps', [1, 3, 10, 40, 50])
def test_steps_lead_from_each_to_the_next(spacing, steps):
    taken = NoiseSchedule(50).reverse_steps(steps, spacing)
    assert len(taken) == steps and [step.previous for step in taken[:-1]] == [step.t for step in taken[1:]]
    assert taken[-1].previous < 0 and taken[-1].sigma == 0
    table = [*NoiseSchedule(50).alphas_cumprod.double().tolist(), 1.0]
    for step in taken:
        now, before = table[step.t], table[max(step.previous, -1)]
        # A noisy sample of the truth becomes a sample with the noise of the step before.
        mean = step.coef_x0 + step.coef_xt * math.sqrt(now)
        variance = step.coef_xt ** 2 * (1 - now) + step.sigma ** 2
        assert mean == pytest.approx(math.sqrt(before), abs=1e-5)
        assert variance == pytest.approx(1 - before, abs=1e-5)


@pytest.mark.parametrize(('steps', 'spacing'), [(0, 'leading'), (51, 'leading'), (10, 'linspace')])
def test_wrong_steps(steps, spacing):
    with pytest.raises(ConfigError, match=f'num_steps={steps}, spacing={spacing!r}'):
        NoiseSchedule(50).reverse_steps(steps, spacing)


def test_one_step_is_no_schedule():
    with pytest.raises(ConfigError, match='num_timesteps=1'):
        NoiseSchedule(1)


def test_builds_on_the_meta_device():
    with torch.device('meta'):
        schedule = NoiseSchedule(50)
    assert schedule.betas.is_meta and schedule.reverse_steps(50)[0].t == 49
