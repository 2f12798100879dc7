"""Frozen weights that are shared out between processes."""

import pytest
import torch
from torch import nn
from torch.distributed import get_rank
from torch.nn.parallel import DistributedDataParallel

from motionlab.engine.config_check import check_config
from motionlab.engine.launch import setup_distributed
from motionlab.engine.sharding import local_part, shard_frozen
from motionlab.utils import ConfigError
from tests.test_engine import processes


class Block(nn.Module):
    """Frozen weights with trained ones between them."""

    def __init__(self):
        super().__init__()
        self.base, self.added = nn.Linear(8, 8).requires_grad_(False), nn.Linear(8, 8)

    def forward(self, x):
        return torch.tanh(self.base(x) + self.added(x))


class Large(nn.Module):
    """Two blocks and a layer before them."""

    def __init__(self):
        super().__init__()
        self.before = nn.Linear(8, 8).requires_grad_(False)
        self.blocks = nn.ModuleList([Block(), Block()])

    def forward(self, x):
        x = self.before(x)
        for block in self.blocks:
            x = block(x)
        return x


class Model(nn.Module):
    """A frozen large network and a trained layer; frozen weights are in no checkpoint."""

    def __init__(self, saved: bool = False):
        super().__init__()
        torch.manual_seed(0)
        self.large, self.after = Large(), nn.Linear(8, 1)
        if not saved:
            self._register_state_dict_hook(_leave_out_frozen)

    def forward(self, x):
        return self.after(self.large(x))


def _leave_out_frozen(module, state, prefix, metadata):
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            del state[prefix + name]


def _check_gradients() -> None:
    setup_distributed('pytorch')
    whole, model = Model(), Model()
    shard_frozen(model, ['large'])
    for (name, expected), (same, parameter) in zip(whole.named_parameters(), model.named_parameters(), strict=True):
        assert name == same
        if expected.requires_grad:
            assert torch.equal(parameter, expected)
        else:  # Rows of weights are shared out.
            assert torch.equal(local_part(parameter), expected.chunk(2)[get_rank()]), name
    assert not any('base' in name or 'before' in name for name in model.state_dict())

    batch = torch.randn(6, 8, generator=torch.Generator().manual_seed(1))
    whole(batch).mean().backward()
    wrapped = DistributedDataParallel(model)
    for _ in range(2):  # A second pass gathers again.
        model.zero_grad()
        wrapped(batch.chunk(2)[get_rank()]).mean().backward()
    for (name, expected), parameter in zip(whole.named_parameters(), model.parameters(), strict=True):
        assert (parameter.grad is None) == (expected.grad is None)
        if expected.grad is not None:
            torch.testing.assert_close(parameter.grad, expected.grad, msg=name)
    with torch.no_grad():
        torch.testing.assert_close(model(batch), whole(batch))
    assert len(local_part(model.large.before.weight)) == 4  # Given back after a pass without a backward one too.


def test_gradients_are_those_of_a_whole_network():
    processes.run_ranks(_check_gradients, 2)


def _check_refusals() -> None:
    setup_distributed('pytorch')
    # Not there, trained, part of checkpoints.
    for model, name in ((Model(), 'largest'), (Model(), 'after'), (Model(saved=True), 'large')):
        with pytest.raises(ConfigError, match=f"found '{name}', expected the name of a module with weights that are "
                                              'neither trained nor saved'):
            shard_frozen(model, [name])


def test_what_cannot_be_shared_out_is_refused():
    processes.run_ranks(_check_refusals, 2)


def test_tensors_of_one_process_are_whole():
    tensor = torch.ones(3)
    assert local_part(tensor) is tensor


def test_configs_know_the_option():
    check_config(dict(shard_frozen=['backbone.flux']), 'x.py')
    with pytest.raises(ConfigError, match="did you mean 'shard_frozen'"):
        check_config(dict(shard_frosen=['backbone.flux']), 'x.py')
