"""Mixed precision on the CPU: what is cast, what is scaled, what a checkpoint keeps."""

import io

import pytest
import torch
from torch import nn

from motionlab.engine.optim_wrapper import AutocastOptimWrapper
from motionlab.registry import OPTIM_WRAPPERS
from motionlab.utils import ConfigError


def make(dtype='bfloat16', **options):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    wrapper = OPTIM_WRAPPERS.build(dict(type='AutocastOptimWrapper', optimizer=optimizer, dtype=dtype, **options))
    return net, wrapper


def set_scaler(wrapper, **values):
    wrapper.loss_scaler.load_state_dict({**wrapper.loss_scaler.state_dict(), **values})


def train(net, wrapper, steps, first=0):
    for step in range(first, first + steps):
        x = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))  # (B, 4)
        with wrapper.optim_context(net):
            loss = (net(x).float() - x.sum(1, keepdim=True)).square().mean()
        wrapper.update_params(loss)
    return loss.item()


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
def test_forward_is_low_precision_and_weights_are_not(dtype):
    net, wrapper = make(dtype)
    with wrapper.optim_context(net):
        assert net(torch.zeros(2, 4)).dtype is getattr(torch, dtype)
    assert net(torch.zeros(2, 4)).dtype is torch.float32
    start = train(net, wrapper, 1)
    assert train(net, wrapper, 60) < 0.5 * start
    assert all(p.dtype is torch.float32 for p in net.parameters())
    assert (wrapper.loss_scaler is not None) == (dtype == 'float16')


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
def test_resume_is_exact_through_a_safe_checkpoint(dtype):
    options = dict(clip_grad=dict(max_norm=0.5), accumulative_counts=2)
    net, wrapper = make(dtype, **options)
    if dtype == 'float16':
        set_scaler(wrapper, scale=512.0, growth_interval=3)
    train(net, wrapper, 8)
    file = io.BytesIO()
    torch.save({'net': net.state_dict(), 'optimizer': wrapper.state_dict()}, file)
    train(net, wrapper, 8, first=8)

    file.seek(0)
    saved = torch.load(file, weights_only=True)
    resumed, resumed_wrapper = make(dtype, **options)
    resumed.load_state_dict(saved['net'])
    keys = set(saved['optimizer'])
    resumed_wrapper.load_state_dict(saved['optimizer'])
    assert set(saved['optimizer']) == keys  # The caller's dict is left alone.
    train(resumed, resumed_wrapper, 8, first=8)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), resumed.parameters()))
    if dtype == 'float16':
        assert resumed_wrapper.loss_scaler.get_scale() == wrapper.loss_scaler.get_scale() > 512


def test_clipping_sees_unscaled_gradients():
    net, wrapper = make('float16', clip_grad=dict(max_norm=1e9))
    reference, plain = make('bfloat16', clip_grad=dict(max_norm=1e9))
    set_scaler(wrapper, scale=512.0)
    norms = {}
    for name, (model, wrap) in {'scaled': (net, wrapper), 'plain': (reference, plain)}.items():
        wrap.message_hub.update_scalar('train/grad_norm', 0.0)
        train(model, wrap, 1)
        norms[name] = wrap.message_hub.get_scalar('train/grad_norm').current()
    assert norms['scaled'] == pytest.approx(norms['plain'], rel=0.05)


def test_overflow_skips_the_step_and_halves_the_scale():
    net, wrapper = make('float16')
    before = [p.clone() for p in net.parameters()]
    scale = wrapper.loss_scaler.get_scale()
    with wrapper.optim_context(net):
        loss = net(torch.ones(2, 4)).float().mean() * 1e38
    wrapper.update_params(loss)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters()))
    assert wrapper.loss_scaler.get_scale() == scale / 2


def test_accumulation_steps_once_per_two_iterations():
    net, wrapper = make(accumulative_counts=2)
    before = net[0].weight.clone()
    train(net, wrapper, 1)
    assert torch.equal(net[0].weight, before)
    train(net, wrapper, 1)
    assert not torch.equal(net[0].weight, before)


def test_state_of_a_float32_run_is_accepted():
    _, wrapper = make('float16')
    _, plain = make('bfloat16')
    wrapper.load_state_dict(plain.state_dict())
    assert wrapper.loss_scaler.get_scale() == 65536


def test_unknown_dtype():
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    with pytest.raises(ConfigError, match=r"'fp16'.*bfloat16, float16"):
        AutocastOptimWrapper(optimizer, dtype='fp16')
