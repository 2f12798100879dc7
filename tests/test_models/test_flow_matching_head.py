import pytest
import torch

from motionlab.models.heads import FlowMatchingHead
from motionlab.utils import ConfigError
from tests.flow_oracles import toy_velocity
from tests.frame_models import latents


def test_path_velocity_and_loss_by_hand():
    x0, noise = latents(2, 3, 4, 4), latents(2, 3, 4, 4, seed=1)
    sigma = torch.tensor([0.25, 0.9])
    x_t = FlowMatchingHead.add_noise(x0, noise, sigma)
    torch.testing.assert_close(x_t[1], 0.1 * x0[1] + 0.9 * noise[1])
    torch.testing.assert_close(FlowMatchingHead.remove_noise(x_t, noise - x0, sigma), x0)
    loss = FlowMatchingHead.loss(noise - x0 + torch.tensor([1.0, 2.0]).view(2, 1, 1, 1), x0, noise)
    torch.testing.assert_close(loss, torch.tensor([1.0, 4.0]))


def test_loss_is_float32_whatever_comes_in():
    x0, noise = latents(2, 3, 4, 4), latents(2, 3, 4, 4, seed=1)
    loss = FlowMatchingHead.loss((noise - x0).bfloat16(), x0, noise)
    assert loss.dtype == torch.float32 and (loss < 1e-4).all()


def test_steps_and_solver_are_the_heads_unless_asked_for():
    calls = []

    def velocity(x, sigma):
        calls.append(sigma)
        return toy_velocity(x, sigma)

    head = FlowMatchingHead(3, shift=3.0, num_steps=2, solver='dpm++')
    default = head.sample(velocity, latents(2, 3))
    assert calls == pytest.approx([3 * 0.999 / 2.998, 0.75], abs=1e-3) and len(calls) == 2
    calls.clear()
    other = head.sample(velocity, latents(2, 3), num_steps=3, solver='euler')
    assert calls == pytest.approx([1.0, 6 / 7, 0.6]) and not torch.allclose(default, other)
    with pytest.raises(ConfigError, match='num_steps=0'):
        head.sample(velocity, latents(2, 3), num_steps=0)


@pytest.mark.parametrize('bad', [dict(num_steps=0), dict(solver='ddim'), dict(density='beta'), dict(shift=-1.0)])
def test_refuses(bad):
    with pytest.raises(ConfigError):
        FlowMatchingHead(3, **bad)
