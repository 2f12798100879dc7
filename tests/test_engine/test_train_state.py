import logging

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.optim import CosineAnnealingLR, LinearLR, MultiStepLR, OptimWrapper
from torch import nn

from motionlab.engine import train_state
from motionlab.engine.checkpoint import to_plain
from motionlab.utils import CheckpointError

LOGGER = logging.getLogger('test')


def test_gradients_of_another_number_of_ranks_are_averaged(caplog):
    model = nn.Linear(2, 1)
    packed = [{'weight': torch.tensor([[1.0, 3.0]])}, {'weight': torch.tensor([[3.0, 5.0]])}]
    train_state.restore_gradients(model, packed, LOGGER)
    assert model.weight.grad.tolist() == [[2.0, 4.0]] and model.bias.grad is None
    assert 'saved by 2 processes' in caplog.text


def test_message_hub_comes_back_capped_and_only_with_what_is_resumed():
    hub = MessageHub('one')
    for value in range(30):
        hub.update_scalar('train/loss', value)
    hub.update_info('kept', {'a': 1})
    hub.update_info('object', object(), resumed=False)
    train_state.cap_histories(hub, 4)
    other = MessageHub('two')
    train_state.restore_message_hub(other, to_plain(train_state.pack_message_hub(hub)))
    assert other.get_scalar('train/loss').data[0].tolist() == [26, 27, 28, 29]
    assert other.runtime_info == {'kept': {'a': 1}}
    other.update_scalar('train/loss', 30)
    assert other.get_scalar('train/loss').data[0].tolist() == [27, 28, 29, 30]


def _run(length: int, steps: int, epoch_length: int, start: tuple | None = None):
    """Warm-up by iterations, decays by iterations and by epochs; returns optimizer and schedulers after ``steps``."""
    wrapper = OptimWrapper(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0))
    schedulers = [LinearLR(wrapper, start_factor=0.1, begin=0, end=4, by_epoch=False),
                  CosineAnnealingLR(wrapper, T_max=length - 4, begin=4, end=length, by_epoch=False),
                  MultiStepLR(wrapper, milestones=[1, 3], gamma=0.5, by_epoch=True)]
    done = 0
    if start is not None:
        done, groups, packed = start
        wrapper.optimizer.param_groups[0].update(groups)
        train_state.restore_schedulers(schedulers, packed, epoch_length, LOGGER)
    rates = []
    for iteration in range(done + 1, steps + 1):
        for scheduler in schedulers[:2]:
            scheduler.step()
        if iteration % epoch_length == 0:
            schedulers[2].step()
        rates.append(wrapper.optimizer.param_groups[0]['lr'])
    return wrapper, schedulers, rates


@pytest.mark.parametrize('stop', [2, 4, 9, 10, 12])
@pytest.mark.parametrize('length', [12, 40])
def test_schedules_go_on_exactly_and_follow_a_new_length(stop, length):
    wrapper, schedulers, _ = _run(12, stop, epoch_length=5)
    group = {key: value for key, value in wrapper.optimizer.param_groups[0].items() if key != 'params'}
    packed = to_plain([train_state.pack_scheduler(each) for each in schedulers])
    resumed = _run(length, 30, 5, start=(stop, group, packed))[2]
    assert resumed == _run(length, 30, 5)[2][stop:]


def test_other_schedulers_are_an_error():
    _, schedulers, _ = _run(12, 2, 5)
    packed = [train_state.pack_scheduler(each) for each in schedulers]
    with pytest.raises(CheckpointError, match=r"has \['LinearLR', 'CosineAnnealingLR', 'MultiStepLR'\], the config"):
        train_state.restore_schedulers(schedulers[:2], packed, 5, LOGGER)
