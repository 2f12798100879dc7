"""What is drawn, weighed and sampled."""

import pytest
import torch

from motionlab.models.heads import DiffusionHead
from motionlab.utils import ConfigError
from motionlab.utils.random import seed_iteration


def test_draws_are_those_of_the_global_batch():
    head, clean = DiffusionHead(4), torch.zeros(6, 3, 4)
    seed_iteration(1, 0, 1, 7)
    t, noise = head.sample_noise(clean)
    assert t.shape == (6,) and noise.shape == clean.shape
    for rank in range(2):
        seed_iteration(1, rank, 2, 7)
        own_t, own_noise = head.sample_noise(clean[:3])
        assert torch.equal(own_t, t[rank::2]) and torch.equal(own_noise, noise[rank::2])


def test_every_step_is_drawn_as_often():
    t, _ = DiffusionHead(1).sample_noise(torch.zeros(50_000, 1, 1))
    counts = t.bincount(minlength=50)
    assert len(counts) == 50 and counts.min() > 800 and counts.max() < 1200


def test_total_is_the_weighted_sum_and_alone_has_gradients():
    head = DiffusionHead(4, order=2, simple_weight=1.0, fk_weight=0.5, difference_weight=0.0)
    values = torch.tensor([[1., 3.], [2., 2.], [7., 9.]], requires_grad=True)
    losses = head.loss(dict(zip(('simple', 'fk', 'acceleration'), values, strict=True)))
    assert {name: value.item() for name, value in losses.items()} == dict(
        loss=3.0, simple=2.0, fk=2.0, acceleration=8.0, total=3.0)
    assert [name for name, value in losses.items() if value.requires_grad] == ['loss']


def test_weights_of_blocks_act_on_their_channels():
    head = DiffusionHead(4, block_weights=dict(b=3.0))
    head.set_blocks(dict(a=slice(0, 2), b=slice(2, 4)))
    points = torch.zeros(1, 3, 1, 3)
    terms = head.terms(torch.ones(1, 3, 4), torch.zeros(1, 3, 4), points, points, points, 1.0)
    assert terms['simple'].tolist() == [2.0] and terms['fk'].tolist() == terms['velocity'].tolist() == [0.0]
    assert not head.state_dict()  # What the config says is no weight.
    with pytest.raises(ConfigError, match=r"block_weights of \['b'\]"):
        head.set_blocks(dict(a=slice(0, 4)))


@pytest.mark.parametrize('options', [dict(order=0), dict(fk_norm='mse'), dict(difference_norm='L1'),
                                     dict(fk_weight=-1.0), dict(simple_weight=float('nan')),
                                     dict(block_weights=dict(joints=float('inf')))])
def test_wrong_settings(options):
    with pytest.raises(ConfigError, match='DiffusionHead'):
        DiffusionHead(4, **options)


def test_a_perfect_network_gives_the_sample_whatever_the_noise():
    head = DiffusionHead(5)
    truth, generator = torch.rand(2, 3, 5), torch.Generator().manual_seed(0)
    for count, spacing in [(1, 'trailing'), (7, 'trailing'), (50, 'leading')]:
        seen = []

        def network(x, t, seen=seen):
            seen.append(t.tolist())
            return truth

        steps = head.reverse_steps(count, spacing)
        noise = torch.randn(count, 2, 3, 5, generator=generator)
        torch.testing.assert_close(head.denoise(network, noise, steps), truth)
        assert seen == [[step.t] * 2 for step in steps]


def test_guidance_is_absent_from_the_last_step():
    head, calls = DiffusionHead(5), []

    def guidance(x0):
        calls.append(1)
        return torch.ones_like(x0)

    noise = torch.zeros(3, 1, 2, 5)
    head.denoise(lambda x, t: x, noise, head.reverse_steps(3, 'trailing'), guidance)
    assert len(calls) == 2
    step = head.reverse_steps(3, 'trailing')[0]
    pushed = head.reverse_step(noise[0], noise[0], step, None, torch.ones(1))
    torch.testing.assert_close(pushed, torch.full_like(noise[0], step.sigma))  # By the standard deviation.
