import copy

import pytest
import torch
from torch import nn

from motionlab.apis.sources.primal import convert
from motionlab.models.backbones import MotionDiT
from motionlab.models.backbones.motion_adapters import GoalEmbedding
from motionlab.registry import MODELS
from motionlab.utils import ConfigError, DataError
from motionlab.utils.random import seed_iteration
from tests.test_apis.primal_files import PlainPrimal, batch

_SMALL = dict(in_channels=20, embed_dim=16, num_layers=2, num_heads=4, ffn_dim=32)
_CONTROLLED = dict(kind='controlnet2', control='action', num_actions=4)


def _twin(plain: PlainPrimal, **hints) -> MotionDiT:
    """Our network with the weights of the plain one."""
    config, renamed = convert(plain.state_dict(), num_heads=4, **hints)
    net = MODELS.build({**config['backbone'], 'in_channels': plain.emb_motionseed.in_features}).eval()
    net.load_state_dict({name.removeprefix('backbone.'): tensor for name, (_, tensor) in renamed.items()})
    return net


def _small(**options) -> MotionDiT:
    torch.manual_seed(0)
    net = MotionDiT(**{**_SMALL, **options})
    with torch.no_grad():
        for parameter in net.parameters():                    # zero weights would hide what stands before them
            parameter.normal_(std=0.3)
    return net


def _inputs(net: MotionDiT, frames: int = 7) -> tuple:
    generator = torch.Generator().manual_seed(2)
    x, first = torch.randn(3, frames, 20, generator=generator), torch.randn(3, 1, 20, generator=generator)
    return x, torch.tensor([0, 20, 49]), net.embed_seed(first)


@pytest.mark.parametrize(('options', 'count'), [({}, 13_488_139), ({'conditioning': 'adaln'}, 17_557_003)])
def test_published_sizes(options, count):
    with torch.device('meta'):
        assert sum(parameter.numel() for parameter in MotionDiT(267, **options).parameters()) == count


@pytest.mark.parametrize('act', ['relu', 'silu', 'gelu'])
@pytest.mark.parametrize('options', [{}, {'separate': True}, {'adaln': True}], ids=['merged', 'separate', 'adaln'])
def test_forms_answer_as_their_description_with_gradients(options, act):
    plain = PlainPrimal(channels=201, act=act, **options)
    net = _twin(plain, activation=act, separate_condition_token=options.get('separate', False))
    x, t, first = batch(plain)
    expected_x, found_x = x.clone().requires_grad_(), x.clone().requires_grad_()
    expected = plain(expected_x, t, plain.emb_motionseed(first))
    found = net(found_x, t, net.embed_seed(first))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    for out in (found, expected):
        out.square().sum().backward()
    torch.testing.assert_close(found_x.grad, expected_x.grad, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(net.time_embedding.mlp[0].weight.grad, plain.denoiser.time_embedding.mlp[0].weight.grad,
                               atol=1e-3, rtol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(net(x, t, net.embed_seed(first)), expected, atol=1e-5, rtol=1e-5)


def test_activations_differ():
    outs = []
    for act in ('relu', 'silu', 'gelu'):
        net = _small(activation=act).eval()
        outs.append(net(*_inputs(net)))
    assert all((a - b).abs().max() > 1e-3 for a, b in ((outs[0], outs[1]), (outs[1], outs[2]), (outs[0], outs[2])))


@torch.no_grad()
@pytest.mark.parametrize('control', ['action', 'goal2', 'goal3'])
@pytest.mark.parametrize('kind', ['controlnet1', 'controlnet2', 'finetune'])
def test_adapters_answer_as_their_description(kind, control):
    plain = PlainPrimal(channels=201, control=control, adapter=kind)
    net = _twin(plain, adapter='controlnet2' if kind == 'finetune' else kind)
    assert net.adapter.kind == kind
    x, t, first = batch(plain)
    wanted = torch.tensor([0, 9, 3]) if control == 'action' else torch.randn(3, int(control[-1]))
    control_of, seed = net.embed_control(wanted), net.embed_seed(first)
    torch.testing.assert_close(control_of, plain.wanted(wanted), atol=1e-6, rtol=1e-5)
    base = net(x, t, seed)
    torch.testing.assert_close(base, plain(x, t, seed), atol=1e-5, rtol=1e-5)
    each = torch.tensor([0.0, 1.0, -2.5]).view(3, 1, 1)
    for weight in (1.0, 0.3, each):
        found = net(x, t, seed, control_of, weight)
        torch.testing.assert_close(found, plain(x, t, seed, plain.wanted(wanted), weight), atol=1e-5, rtol=1e-5)
        assert (found - base)[1:].abs().max() > 1e-3
    torch.testing.assert_close(net(x, t, seed, control_of, each)[0], base[0], atol=1e-6, rtol=0)
    for nothing in (0, 0.0, torch.zeros(3, 1, 1)):
        assert torch.equal(net(x, t, seed, control_of, nothing), base)


@torch.no_grad()
@pytest.mark.parametrize('kind', ['controlnet1', 'controlnet2'])
def test_fresh_adapters_change_nothing(kind):
    torch.manual_seed(0)
    net = MotionDiT(**_SMALL, adapter={**_CONTROLLED, 'kind': kind}).eval()
    inputs = _inputs(net)
    assert torch.equal(net(*inputs, net.embed_control(torch.tensor([0, 1, 2]))), net(*inputs))
    for layer, copied in zip(net.layers, net.adapter.layers):
        for own, other in zip(layer.parameters(), copied.parameters()):
            assert torch.equal(own, other) and own is not other


@pytest.mark.parametrize('kind', ['controlnet1', 'controlnet2'])
def test_only_the_adapter_learns(kind):
    net = _small(adapter={**_CONTROLLED, 'kind': kind}).train()
    before = copy.deepcopy(net.state_dict())
    trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
    assert {id(parameter) for parameter in trained} == {id(parameter) for parameter in net.adapter.parameters()}
    optimizer = torch.optim.AdamW(trained, lr=0.1)
    inputs = _inputs(net)
    net(*inputs, net.embed_control(torch.tensor([0, 1, 2]))).square().mean().backward()
    assert all(parameter.grad is None for name, parameter in net.named_parameters() if not name.startswith('adapter.'))
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in trained)
    optimizer.step()
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if name.startswith('adapter.')}
    whole = _small(adapter={**_CONTROLLED, 'kind': 'finetune'})
    assert all(parameter.requires_grad for parameter in whole.parameters())


@pytest.mark.parametrize('kind', ['controlnet1', 'controlnet2'])
def test_adapters_start_from_loaded_bases_and_are_never_made_again(kind):
    base = _small()
    net = MotionDiT(**_SMALL, adapter={**_CONTROLLED, 'kind': kind})
    found = nn.Module()
    found.backbone = net                                      # below another module, as in a task model
    given = {f'backbone.{name}': value for name, value in base.state_dict().items()}
    report = found.load_state_dict(given, strict=False)
    assert not report.unexpected_keys and not any('adapter.layers' in name for name in given)
    for layer, copied in zip(base.layers, net.adapter.layers):
        assert all(torch.equal(a, b) for a, b in zip(layer.parameters(), copied.parameters()))
    assert all(not parameter.any() for parameter in net.adapter.outputs.parameters())
    trained = _small(adapter={**_CONTROLLED, 'kind': kind})
    net.load_state_dict(trained.state_dict())
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in trained.state_dict().items())
    assert net.adapter.outputs[0].weight.any()


def test_finetuning_starts_from_loaded_bases():
    base, net = _small(), MotionDiT(**_SMALL, adapter={**_CONTROLLED, 'kind': 'finetune'})
    assert net.load_state_dict(base.state_dict(), strict=False).missing_keys == ['adapter.embedding.weight']


def test_goals_at_the_body_have_finite_gradients():
    embedding, goal = GoalEmbedding(3, 8), torch.zeros(2, 3)
    goal[1, 0] = 1e-20
    goal.requires_grad_()
    out = embedding(goal)
    torch.testing.assert_close(out, embedding.bias.expand(2, 8))
    out.sum().backward()
    assert torch.isfinite(goal.grad).all() and goal.grad[0].abs().sum() > 0
    far = embedding(torch.tensor([[0.0, 0.0, 1e4]]))
    torch.testing.assert_close(far, 2 * embedding.weight[:, 2][None] + embedding.bias)


@torch.no_grad()
def test_kept_step_embeddings_follow_the_weights():
    net = _small().eval()
    inputs = _inputs(net)

    def fresh() -> torch.Tensor:
        other = MotionDiT(**_SMALL).eval()
        other.load_state_dict(net.state_dict())
        with torch.enable_grad():                             # computes anew
            return other(*inputs).detach()

    net(*inputs)
    kept = net.time_embedding._kept[1]
    net(*inputs)
    assert net.time_embedding._kept[1] is kept
    for change in (lambda: net.time_embedding.mlp[0].weight.add_(0.5),
                   lambda: net.load_state_dict(_small(activation='relu', num_timesteps=50).state_dict()),
                   lambda: (net.time_embedding.mlp[2].bias.data.mul_(3.0), net.eval()),
                   lambda: (net.train(), net.time_embedding.mlp[2].bias.data[:8].add_(1.0), net.eval())):
        before = net(*inputs)
        change()
        torch.testing.assert_close(net(*inputs), fresh(), atol=1e-6, rtol=1e-5)
        assert (net(*inputs) - before).abs().max() > 1e-3
    twin = copy.deepcopy(net).double()
    x, t, seed = inputs
    assert twin(x.double(), t, seed.double()).dtype == torch.float64
    with torch.inference_mode():
        first = net(*inputs)
    torch.testing.assert_close(net(*inputs), first)


def test_dropout_acts_while_training_only_and_is_drawn_from_the_batch():
    for options in ({}, {'conditioning': 'adaln'}):
        net = _small(dropout=0.5, **options)
        inputs = tuple(value.detach() for value in _inputs(net))
        outs = []
        for _ in range(2):
            seed_iteration(3, rank=0, world_size=1, iteration=5)
            outs.append(net.train()(*inputs))
        assert torch.equal(*outs) and not torch.equal(outs[0], net(*inputs))
        seed_iteration(3, rank=0, world_size=3, iteration=5)
        of_rank = net(*(value[:1] for value in inputs))       # the share of rank 0 in a global batch of three
        torch.testing.assert_close(of_rank, outs[0][:1], atol=1e-5, rtol=1e-5)
        assert torch.equal(net.eval()(*inputs), net(*inputs))
        quiet = _small(dropout=0.0, **options)
        torch.testing.assert_close(quiet.train()(*inputs), net(*inputs), atol=1e-5, rtol=1e-5)


def test_fresh_modulation_is_zero():
    net = MotionDiT(**_SMALL, conditioning='adaln')
    assert not net.out_modulation.weight.any() and not any(layer.modulation.weight.any() for layer in net.layers)
    x = torch.randn(2, 5, 16)
    assert torch.equal(net.layers[0](x, torch.randn(2, 1, 16)), x)


@torch.no_grad()
def test_halved_precision_and_compiling():
    net = _small().eval()
    inputs = _inputs(net)
    expected = net(*inputs)
    with torch.autocast('cpu', torch.bfloat16):
        torch.testing.assert_close(net(*inputs).float(), expected, atol=0.3, rtol=0.1)
    explained = torch.compile(net, backend='eager', fullgraph=True)
    torch.testing.assert_close(explained(*inputs), expected)


@pytest.mark.parametrize(('options', 'message'), [
    ({'activation': 'tanh'}, "activation='tanh'.*relu.*silu.*gelu"),
    ({'conditioning': 'film'}, "conditioning='film'.*in_context.*adaln"),
    ({'num_heads': 3}, 'heads that divide'),
    ({'embed_dim': 15, 'num_heads': 3}, 'even embed_dim'),
    ({'num_layers': 0}, "'num_layers': 0"),
    ({'dropout': 1.0}, r'dropout=1\.0'),
    ({'conditioning': 'adaln', 'separate_condition_token': True}, 'no condition token'),
    ({'conditioning': 'adaln', 'adapter': _CONTROLLED}, "adapter with conditioning='adaln'"),
    ({'separate_condition_token': True, 'adapter': _CONTROLLED}, 'separate_condition_token=True'),
    ({'adapter': {**_CONTROLLED, 'kind': 'lora'}}, r"adapter\.kind='lora'.*controlnet1.*controlnet2"),
    ({'adapter': {**_CONTROLLED, 'control': 'text'}}, r"adapter\.control='text'"),
    ({'adapter': {**_CONTROLLED, 'goal_dim': 4}}, r'adapter\.goal_dim=4'),
    ({'adapter': {**_CONTROLLED, 'num_actions': 0}}, r'num_actions=0'),
    ({'adapter': {**_CONTROLLED, 'weight': 1, 'rank': 4}}, 'adapter with weight, rank; expected some of kind, control'),
    ({'adapter': {'controls': 'goal'}}, 'adapter with controls'),
])
def test_bad_options_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        MotionDiT(**{**_SMALL, **options})


def test_bad_inputs_are_named():
    net = _small()
    x, t, seed = _inputs(net)
    with pytest.raises(DataError, match=r'\(3, 7, 19\).*\(B, T, 20\)'):
        net(x[..., 1:], t, seed)
    with pytest.raises(ConfigError, match='no adapter'):
        net(x, t, seed, torch.zeros(3, 1, 16))
    with pytest.raises(ConfigError, match='no adapter'):
        net.embed_control(torch.zeros(3, dtype=torch.long))
    with pytest.raises(IndexError):
        net(x, t + 1, seed)


@pytest.mark.parametrize(('t', 'seed_shape', 'field'), [
    (torch.zeros(2, dtype=torch.long), (2, 16), 'seed_embedding'),
    (torch.zeros(2, dtype=torch.long), (1, 1, 16), 'seed_embedding'),
    (torch.tensor(3), (2, 1, 16), 'shape'),
])
def test_shapes_that_would_broadcast_are_refused(t, seed_shape, field):
    net = MotionDiT(267, embed_dim=16, num_layers=1, num_heads=2, ffn_dim=16).eval()
    with pytest.raises(DataError, match=field):
        net(torch.zeros(2, 5, 267), t, torch.zeros(seed_shape))
