import pytest
import torch

from motionlab.models.backbones.action_tokens import ActionTokens
from motionlab.utils import ConfigError, DataError

_ACTIONS = torch.tensor([[0, 1, 4], [2, 2, 3]])


def test_slots_tell_actions_apart_by_place():
    torch.manual_seed(0)
    net = ActionTokens(3, dim=8)
    tokens = net(_ACTIONS)
    assert tokens.shape == (2, 3, 8) and net.dim == 8 and net.num_tokens == 3
    assert not torch.allclose(tokens[1, 0], tokens[1, 1])                    # the same action
    torch.testing.assert_close(tokens[1, 0] - net.slots[0], tokens[1, 1] - net.slots[1])


def test_onehot_as_published():
    net = ActionTokens(3, kind='onehot', dim=8)
    vectors = torch.nn.functional.one_hot(_ACTIONS, 5).float()
    for given in (_ACTIONS, vectors, vectors[:, None]):
        assert torch.equal(net(given), vectors)
    assert net.dim == 5 and net.null_tokens().shape == (3, 5)


@pytest.mark.parametrize('kind', ['slots', 'onehot'])
def test_one_null_that_is_learned(kind):
    torch.manual_seed(0)
    net = ActionTokens(3, kind=kind, num_context_levels=4)
    tokens = net(_ACTIONS, torch.tensor([1, 3]))
    dropped = net.drop(tokens, torch.tensor([False, True]))
    assert torch.equal(dropped[0], tokens[0]) and torch.equal(dropped[1, 3], tokens[1, 3])
    assert torch.equal(dropped[1, :3], net.null_tokens())
    dropped.sum().backward()
    null = net.actions.weight.grad[-1] if kind == 'slots' else net.null.grad
    assert null.abs().sum() > 0


def test_level_has_a_token_of_its_own():
    torch.manual_seed(0)
    net = ActionTokens(3, num_context_levels=10)
    tokens = net(_ACTIONS, torch.tensor([0, 7]))
    assert net.num_tokens == 4 and torch.equal(tokens[:, 3], net.levels.weight[[0, 7]])
    assert torch.equal(net(_ACTIONS), net(_ACTIONS, torch.tensor([0, 0])))
    mask = net.mask(tokens, torch.tensor([[False, True, True]] * 2))
    assert mask.tolist() == [[False, True, True, True]] * 2
    assert net.mask(tokens, None).all()


def test_what_does_not_fit_is_refused():
    net, levels = ActionTokens(3), ActionTokens(3, num_context_levels=4)
    for actions in (_ACTIONS[:, :2], _ACTIONS.float(), _ACTIONS + 1, _ACTIONS - 1):
        with pytest.raises(DataError, match='actions'):
            net(actions)
    for level in (torch.tensor([0, 4]), torch.tensor([-1, 0]), torch.tensor([1])):
        with pytest.raises(DataError, match='context_level'):
            levels(_ACTIONS, level)
    with pytest.raises(DataError, match='num_context_levels'):
        net(_ACTIONS, torch.tensor([0, 1]))
    with pytest.raises(DataError, match='action_mask'):
        net.mask(net(_ACTIONS), torch.ones(2, 4))
    onehot = ActionTokens(3, kind='onehot')
    with pytest.raises(DataError, match='the null is that of 3 actions'):
        onehot.drop(onehot(torch.zeros(2, 1, 4, 5)), torch.tensor([True, False]))
    with pytest.raises(ConfigError, match="action_embed='words'"):
        ActionTokens(3, kind='words')
    with pytest.raises(ConfigError, match='num_history=0'):
        ActionTokens(0)
