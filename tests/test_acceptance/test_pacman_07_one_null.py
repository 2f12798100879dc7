import pytest
import torch

from motionlab.models import FrameOptions, FrameRollout
from tests.frame_models import CHANNELS, Spy, latents, make_batch, make_model


@pytest.mark.parametrize('kind', ['slots', 'onehot'])
def test_pacman_07_one_null(kind, monkeypatch):
    """Null condition in training dropout = null at sampling (same tensor)."""
    model = make_model(backbone=dict(action_embed=kind), action_dropout=0.999)
    network = Spy(model.backbone, 'forward', monkeypatch)
    batch = make_batch(4)
    model.train()(batch, mode='loss')
    trained = network.calls[0][0][2]['action_tokens'][:, :2]
    model.eval()
    network.calls.clear()
    rollout = FrameRollout(model, FrameOptions(num_steps=1, guidance=2.0))
    rollout.step(rollout.begin(rollout.encode(batch['history']), batch['actions'][:, :1]), 3)
    sampled, given = network.calls[0][0][2]['action_tokens'][:, :2].chunk(2)
    assert torch.equal(trained, sampled) and not torch.equal(sampled, given)
    assert torch.equal(sampled, model.backbone.tokens.null_tokens().expand_as(sampled))


def test_pacman_07_the_null_is_learned_and_a_share_is_dropped(monkeypatch):
    """The null is a weight that training dropout moves; about the asked share of samples is dropped, whole sequences.
    """
    model = make_model(action_dropout=0.25).train()
    network = Spy(model.backbone, 'forward', monkeypatch)
    model(make_batch(2000, 4, 4), mode='loss')['loss_flow'].backward()
    tokens, null = network.calls[0][0][2]['action_tokens'][:, :2], model.backbone.tokens.null_tokens()
    dropped = (tokens == null).flatten(1).all(1)
    assert 0.2 < dropped.float().mean() < 0.3 and not (tokens[~dropped] == null).all(2).any()
    assert model.backbone.tokens.actions.weight.grad[-1].abs().max() > 0


def test_pacman_07_without_dropout_nothing_is_null(monkeypatch):
    """action_dropout=0 leaves all actions."""
    model = make_model(action_dropout=0.0).train()
    network = Spy(model.backbone, 'forward', monkeypatch)
    batch = make_batch(50, 4, 4)
    model(batch, mode='loss')
    expected = model.condition(latents(50, 2, CHANNELS, 2, 2), batch['actions'])['action_tokens']
    assert torch.equal(network.calls[0][0][2]['action_tokens'], expected)
