import pytest
import torch

from motionlab.models.backbones import FrameDiT
from motionlab.models.guidance import guidance_batch
from motionlab.registry import MODELS
from motionlab.utils import ConfigError, DataError

pytest.importorskip('diffusers')

_SMALL = dict(in_channels=4, num_history=2, embed_dim=32, depth=2, linear_head_dim=16, num_cross_heads=4, token_dim=8)
_FORMS = [dict(), dict(patch_size=2, num_context_levels=5), dict(history='conv3d', obs_residual=True),
          dict(history='conv2d2', use_pe=True, sample_size=8), dict(action_embed='onehot', qk_norm=True)]


def _build(**options) -> FrameDiT:
    torch.manual_seed(0)
    net = FrameDiT(**{**_SMALL, **options})
    with torch.no_grad():
        for parameter in net.parameters():                    # zero weights would hide what stands before them
            parameter.add_(0.05 * torch.randn_like(parameter))
    return net


def _inputs(batch=3, high=8, wide=6, history=2):
    generator = torch.Generator().manual_seed(1)
    past = torch.randn(batch, history, 4, high, wide, generator=generator)
    actions = torch.randint(5, (batch, history), generator=generator)
    x = torch.randn(batch, 4, high, wide, generator=generator)
    return x, torch.tensor([0.0, 333.25, 999.0, 10.0])[:batch], past, actions


@pytest.mark.parametrize('options', _FORMS)
def test_parts_computed_once_equal_one_network(options):
    net = _build(**options)
    x, times, past, actions = _inputs()
    mask = torch.tensor([[True, True], [False, True], [True, True]])
    level = torch.tensor([0, 4, 2]) if net.num_context_levels else None
    with torch.no_grad():
        condition = net.condition(past, actions, mask, level)
        merged = past.flatten(1, 2) if net.history_encoder is None else net.history_encoder(past)
        tokens = net.tokens(actions, level)
        expected = net.dit(torch.cat([x, merged], dim=1), times, tokens, net.tokens.mask(tokens, mask))
        if net.obs_residual is not None:
            expected = expected + net.obs_residual(merged)
        found = net(x, times, condition)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        assert torch.equal(net(x, net.embed_time(times), net.precompute(condition)), found)
        assert found.shape == x.shape and all(len(value) == 3 for value in condition.values())


@pytest.mark.parametrize('options', _FORMS)
def test_samples_do_not_see_each_other(options):
    net = _build(**options).train()
    x, times, past, actions = _inputs()
    out = net(x, times, net.condition(past, actions))
    x[1:], past[1:], actions[1:], times[1:] = -3.0, 2.0, 1, 500.0
    torch.testing.assert_close(net(x, times, net.condition(past, actions))[0], out[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(net(x[:1], times[:1], net.condition(past[:1], actions[:1])), out[:1], atol=1e-5,
                               rtol=1e-5)


def test_every_input_matters():
    net = _build(num_context_levels=5)
    x, times, past, actions = _inputs()

    def run(x=x, times=times, history=past, actions=actions, **further) -> torch.Tensor:
        return net(x, times, net.condition(history, actions, **further))
    with torch.no_grad():
        out = run()
        older = past.clone()
        older[:, 0] += 0.1
        flipped = actions.clone()
        flipped[:, 0] = (flipped[:, 0] + 1) % 5
        for change in (dict(x=x + 0.1), dict(times=times + 1.25), dict(history=older), dict(actions=flipped),
                       dict(context_level=torch.tensor([3, 3, 3])),
                       dict(action_mask=torch.tensor([[False, True]] * 3))):
            assert (run(**change) - out).abs().amax((1, 2, 3)).min() > 1e-6, change


@pytest.mark.parametrize('embed', ['slots', 'onehot'])
def test_null_is_what_training_drops_actions_for(embed):
    net = _build(action_embed=embed)
    x, times, past, actions = _inputs()
    with torch.no_grad():
        condition = net.condition(past, actions)
        null = net.null_condition(condition)
        dropped = net.drop_actions(condition, torch.tensor([True, False, True]))
        assert torch.equal(dropped['action_tokens'][0], null['action_tokens'][0])
        assert torch.equal(dropped['action_tokens'][1], condition['action_tokens'][1])
        assert torch.equal(null['history_patches'], condition['history_patches'])
        assert torch.equal(null['action_tokens'], net.null_condition(net.condition(past, 4 - actions))['action_tokens'])
        out = net(x, times, null)
        assert (out - net(x, times, condition)).abs().amax((1, 2, 3)).min() > 1e-6
        ready = net.precompute(condition)
        both = guidance_batch(ready, net.null_condition(ready))
        found = net(torch.cat([x, x]), torch.cat([times, times]), both)
        torch.testing.assert_close(found, torch.cat([out, net(x, times, condition)]), atol=1e-5, rtol=1e-5)


def test_residual_starts_at_zero_and_learns():
    torch.manual_seed(0)
    net = FrameDiT(**_SMALL, history='conv3d', obs_residual=True)
    x, times, past, actions = _inputs()
    condition = net.condition(past, actions)
    assert not condition['residual'].any()
    net(x, times, condition).square().mean().backward()
    assert net.obs_residual.weight.grad.abs().sum() > 0 and net.history_encoder.conv2d.weight.grad.abs().sum() > 0


def test_autocast_gives_finite_gradients():
    net = _build()
    x, times, past, actions = _inputs()
    with torch.autocast('cpu', torch.bfloat16):
        loss = net(x, times, net.condition(past, actions)).float().square().mean()
    loss.backward()
    grads = [parameter.grad for parameter in net.parameters() if parameter.grad is not None]
    assert all(grad.dtype == torch.float32 and grad.isfinite().all() for grad in grads)


def test_published_size():
    """L = 4, 256 px through TAESD: 4 channels, 32 x 32 latents."""
    with torch.device('meta'):
        net = MODELS.build(dict(type='FrameDiT', in_channels=4, history='conv3d', norm='batch', obs_residual=True,
                                action_embed='onehot'))
        assert sum(parameter.numel() for parameter in net.dit.parameters()) == 3_316_612
        assert sum(parameter.numel() for parameter in net.history_encoder.parameters()) == 12 * 4 * 27 + 12 + 24 \
            + 12 * 12 * 27 + 12 + 24 + 12 * 4 + 12 + 4 * 36 * 9 + 4


@pytest.mark.parametrize(('change', 'message'), [
    (dict(history='all'), "history='all', expected one of"), (dict(obs_residual=True), 'which merges nothing'),
    (dict(use_pe=True), 'without sample_size'), (dict(action_embed='words'), "action_embed='words'")])
def test_options_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        FrameDiT(**{**_SMALL, **change})


def test_malformed_inputs_are_named():
    net = _build(patch_size=2)
    x, times, past, actions = _inputs()
    for given, message in (((past[:, :1], actions), 'history'), ((past[..., :5], actions), 'patch size 2'),
                           ((past, actions[:2]), '2 samples'), ((past, actions, torch.ones(3, 3)), 'action_mask')):
        with pytest.raises(DataError, match=message):
            net.condition(*given)
    condition = net.condition(past, actions)
    with pytest.raises(DataError, match='the size of the history'):
        net(x[..., :4], times, condition)
    with pytest.raises(DataError, match='token_mask'):
        net(x, times, {**condition, 'token_mask': condition['token_mask'][:1]})
    with pytest.raises(DataError, match='timestep'):
        net(x, times[:1], condition)
    with pytest.raises(DataError, match=r'history.*beside the actions'):
        net(x, times, actions)
