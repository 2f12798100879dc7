import pytest
import torch

from motionlab.utils.random import batch_rand, batch_randn, seed_iteration
from tests.frame_models import CHANNELS, Spy, latents, make_batch, make_model


def seen(model, batch, monkeypatch):
    """Arguments of condition() in a training step."""
    spy = Spy(model.backbone, 'condition', monkeypatch)
    seed_iteration(0, 0, 1, 3)
    loss = model(batch, mode='loss')['loss_flow']
    return *spy.calls[0][0], loss


def test_pacman_13_level_0_equals_off():
    """Level 0 equals off: a network that is told of no noise, or of bucket 0, makes the same."""
    model, x = make_model(context_noise=0.7), latents(3, CHANNELS, 4, 4)
    history, actions = latents(3, 2, CHANNELS, 4, 4, seed=1), torch.tensor([[0, 1], [2, 3], [4, 0]])
    off, zero = model.condition(history, actions), model.condition(history, actions, level=torch.zeros(3).long())
    assert off.keys() == zero.keys() and all(torch.equal(off[name], zero[name]) for name in off)
    time = torch.full((3,), 500.0)
    other = model(x, time, model.condition(history, actions, level=torch.full((3,), 9)))
    assert (other - model(x, time, off)).abs().max() > 1e-6


def test_pacman_13_no_noise_trains_as_off(monkeypatch):
    """With context_noise=0 the history is what the codec gives, at level 0; so it is in evaluation in any case."""
    batch = make_batch()
    model = make_model(context_noise=0.0)
    history, _, _, level, _ = seen(model, batch, monkeypatch)
    assert torch.equal(history, model.codec.encode_frames(batch['history'])) and level.tolist() == [0, 0, 0]
    found = [make_model(context_noise=noise)(batch, mode='predict') for noise in (0.0, 0.7)]
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


@pytest.mark.parametrize('most', [0.7, 0.3])
def test_pacman_13_bucket_reaches_the_model(most, monkeypatch):
    """h' = h + a e with a uniform up to the most, bucket floor(10 a / most) reaches the model."""
    batch, model = make_batch(400, 4, 4), make_model(context_noise=most)
    history, _, _, level, _ = seen(model, batch, monkeypatch)
    clean = model.codec.encode_frames(batch['history'])
    seed_iteration(0, 0, 1, 3)
    share, noise = batch_rand((400,)), batch_randn(clean.shape)
    amount = most * share                                                                  # (B,)
    torch.testing.assert_close(history, clean + amount.view(-1, 1, 1, 1, 1) * noise)
    assert torch.equal(level, (10 * amount / most).floor().long()) and level.unique().tolist() == list(range(10))


def test_pacman_13_levels_make_a_difference_to_training():
    """The token of a level gets a gradient from the samples that are at that level."""
    model = make_model(context_noise=0.7).train()
    model(make_batch(200, 4, 4), mode='loss')['loss_flow'].backward()
    assert (model.backbone.tokens.levels.weight.grad.abs().amax(1) > 0).all()
