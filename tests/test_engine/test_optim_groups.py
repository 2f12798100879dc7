import pytest
import torch
from torch import nn

from motionlab.engine.optim_groups import GroupedOptimWrapperConstructor
from motionlab.utils import ConfigError


class Net(nn.Module):

    def __init__(self):
        super().__init__()
        self.head, self.norm, self.frozen = nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(2, 2).requires_grad_(False)
        self.stack = nn.ParameterDict({'weight': torch.ones(4, 3, 3), 'bias': torch.ones(4, 3)})
        self.lora_A = nn.Linear(2, 1, bias=False)


PARAMWISE = dict(custom_keys={'lora_': dict(lr_mult=0.1)}, bias_decay_mult=0.0, norm_decay_mult=0.0)


def build(paramwise=PARAMWISE, **wrapper):
    net = Net()
    cfg = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-2, weight_decay=0.01), **wrapper)
    return net, GroupedOptimWrapperConstructor(cfg, paramwise)(net)


def test_equal_settings_make_one_group():
    net, wrapper = build()
    groups = {(group['name'], round(group['lr'], 9), group['weight_decay']): {id(each) for each in group['params']}
              for group in wrapper.optimizer.param_groups}
    assert groups == {
        ('', 1e-2, 0.01): {id(net.head.weight), id(net.stack['weight'])},
        ('', 1e-2, 0.0): {id(net.head.bias), id(net.norm.weight), id(net.norm.bias), id(net.stack['bias'])},
        ('lora_', 1e-3, 0.01): {id(net.lora_A.weight)}}


def test_the_longest_key_counts_and_scales_decay():
    net, wrapper = build(dict(custom_keys={'stack': dict(lr_mult=2.0), 'stack.weight': dict(decay_mult=3.0)}))
    group, = (group for group in wrapper.optimizer.param_groups if any(each is net.stack['weight']
                                                                     for each in group['params']))
    assert group['name'] == 'stack.weight' and group['lr'] == 1e-2 and group['weight_decay'] == pytest.approx(0.03)


def test_options_of_the_wrapper_are_kept():
    _, wrapper = build(accumulative_counts=4, clip_grad=dict(max_norm=1.0))
    assert wrapper._accumulative_counts == 4 and wrapper.clip_grad_kwargs == {'max_norm': 1.0}


@pytest.mark.parametrize('paramwise', [dict(lr_mult=1.0), dict(custom_keys={'a': dict(lr=1.0)})])
def test_unknown_options_are_named(paramwise):
    with pytest.raises(ConfigError, match=r"'lr'|'lr_mult'"):
        build(paramwise)


def test_nothing_to_train_is_an_error():
    cfg = dict(optimizer=dict(type='AdamW', lr=1.0))
    with pytest.raises(ConfigError, match='no parameter'):
        GroupedOptimWrapperConstructor(cfg)(Net().requires_grad_(False))
