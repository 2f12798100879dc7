"""With xformers the original flattened the tokens of all samples into one sequence that every sample attended to."""

import pytest
import torch

from tests.frame_models import CHANNELS, latents, make_model


def as_it_is(model, x, time, condition):
    return model(x, time, condition)


def flattened(model, x, time, condition):
    """The faulty formulation: one sequence of the tokens of the whole batch for all samples, no mask."""
    tokens = condition['action_tokens'].flatten(0, 1).expand(len(x), -1, -1)               # (B, B n, E)
    everything = torch.ones(tokens.shape[:2], dtype=torch.bool)
    return model(x, time, condition | {'action_tokens': tokens, 'token_mask': everything})


def leak_and_guidance(model, network):
    """What the actions of sample 1 do to sample 0, and what guidance has to work with."""
    history, x = latents(2, 2, CHANNELS, 4, 4), latents(2, CHANNELS, 4, 4, seed=1)
    time, one, other = torch.full((2,), 500.0), torch.tensor([[0, 1], [2, 3]]), torch.tensor([[0, 1], [4, 0]])
    with torch.no_grad():
        before, after = (network(model, x, time, model.condition(history, actions)) for actions in (one, other))
        # Unconditional and conditional half of one sample, side by side in one batch.
        condition = model.condition(history[:1].expand(2, -1, -1, -1, -1), one[:1].expand(2, -1))
        both = model.backbone.drop_actions(condition, torch.tensor([True, False]))
        without, given = network(model, x[:1].expand(2, -1, -1, -1), time, both)
    return (after - before)[0].abs().max().item(), (given - without).abs().max().item()


@pytest.mark.parametrize('kind', ['slots', 'onehot'])
def test_pacman_s03_leak_between_samples(kind):
    """Outputs of sample i depend on sample i only; CFG difference nonzero. The faulty formulation fails both."""
    model = make_model(backbone=dict(action_embed=kind))
    leak, guidance = leak_and_guidance(model, as_it_is)
    assert leak == 0 and guidance > 1e-3
    leak, guidance = leak_and_guidance(model, flattened)
    assert leak > 1e-3 and guidance == pytest.approx(0, abs=1e-6)
