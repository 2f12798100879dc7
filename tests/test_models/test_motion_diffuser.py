"""The task model of motion generation: losses, evaluation, the contract of its network, and adapters."""

import pytest
import torch

from motionlab.codecs import motion_batch as keys
from motionlab.registry import MODELS
from motionlab.utils import ConfigError, DataError
from motionlab.utils.random import seed_iteration
from tests.motion_batches import motion_batch
from tests.motion_models import model_config

ORDERS = pytest.mark.parametrize('order', [1, 2], ids=['velocity', 'acceleration'])


@pytest.fixture
def build(small_body_file):
    def build(order=1, **options):
        torch.manual_seed(0)
        return MODELS.build(model_config(small_body_file, order, **options))

    return build


@ORDERS
def test_loss_reaches_every_weight(build, order):
    model = build(order)
    losses = model.loss(motion_batch(4))
    assert set(losses) == {'loss', *keys.TERMS[order]}
    losses['loss'].backward()
    assert all(param.grad.abs().sum() > 0 for param in model.parameters())
    assert not [name for name in model.state_dict() if 'body' in name]


@ORDERS
def test_contract_of_the_network(build, order):
    model = build(order).eval()
    channels = model.codec.in_channels
    xs, t = torch.randn(3, 7, channels), torch.tensor([0, 20, 49])
    seed = model.embed_seed(xs[:, :1])
    assert seed.shape == (3, 1, 16) and model(xs, t, seed).shape == (3, 7, channels)
    torch.testing.assert_close(model(xs, t, seed), model.backbone(xs, t, seed))
    assert model.run_network(xs).shape == xs.shape
    with pytest.raises(DataError, match='seed_embedding'):
        model(xs, t)


@torch.no_grad()
def test_evaluation_belongs_to_samples(build):
    model = build().eval()
    batch = {**motion_batch(6), keys.SAMPLE_INDEX: torch.tensor([3, 50, 7, 0, 1, 2])}
    whole = model.predict(batch)
    assert set(whole) == {keys.SAMPLE_INDEX, *keys.TERMS[1]}
    seed_iteration(3, 0, 1, 5)  # Nor does it depend on any generator.
    some = model.predict({key: value[[4, 1]] for key, value in batch.items()})
    for name, value in some.items():
        torch.testing.assert_close(value, whole[name][[4, 1]], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(whole['total'], whole['simple'] + whole['fk'] + whole['velocity'])
    model.eval_seed = 1
    assert (model.predict(batch)['simple'] != whole['simple']).all()
    del batch[keys.SAMPLE_INDEX]
    with pytest.raises(DataError, match='sample_index'):
        model.predict(batch)


def test_a_body_is_asked_for(build):
    model = MODELS.build(model_config())
    for call in (model.load_body, lambda: model.loss(motion_batch())):
        with pytest.raises(ConfigError, match=r"codec\.body=dict\(type='BodyModel'"):
            call()


def test_inputs_stay_what_they_are(build):
    batch = motion_batch(3)
    before = {key: value.clone() for key, value in batch.items()}
    build().loss(batch)
    assert all(torch.equal(value, batch[key]) for key, value in before.items())


def test_autocast_leaves_losses_in_full_precision(build):
    model = build().eval()
    batch = {**motion_batch(4), keys.SAMPLE_INDEX: torch.arange(4)}
    exact = model.predict(batch)
    with torch.autocast('cpu', torch.bfloat16):
        rounded = model.predict(batch)
    for name in keys.TERMS[1]:
        assert rounded[name].dtype == torch.float32
        torch.testing.assert_close(rounded[name], exact[name], rtol=0.05, atol=1e-3)


@ORDERS
def test_normalised_blocks_train(build, order):
    model = build(order, codec=dict(block_normalisation=True))
    with pytest.raises(ConfigError, match='block_normalisation'):
        model.loss(motion_batch())
    model.codec.fit([motion_batch(16)])
    losses, plain = model.loss(motion_batch(16)), build(order).loss(motion_batch(16))
    inputs = model.codec.encode(motion_batch(16))['inputs']
    for channels in model.codec.blocks.values():
        assert inputs[..., channels].square().mean().sqrt().item() == pytest.approx(1, rel=1e-3)
    assert losses['simple'] > plain['simple'] and losses['fk'] < 10 * plain['fk']  # Joints stay in metres.


@pytest.mark.parametrize('dims', [2, 3])
@pytest.mark.parametrize('rotation', ['6d', 'axis_angle'])
def test_goal_is_where_the_pelvis_ends_up(build, dims, rotation):
    model = build(codec=dict(rotation=rotation),
                  backbone=dict(adapter=dict(control='goal', goal_dim=dims))).eval()
    batch = motion_batch(4)
    encoded = model.codec.encode(batch)
    seen = []
    model.backbone.adapter.embedding.register_forward_hook(lambda module, given, _: seen.append(given[0]))
    model.loss(batch)
    pelvis = encoded[keys.JOINTS][:, -1, 0]                                                # (B, 3)
    torch.testing.assert_close(seen[0], pelvis if dims == 3 else pelvis[:, [0, 2]], atol=1e-6, rtol=1e-5)
    given = torch.ones(4, dims)
    model.loss({**batch, keys.GOAL: given})
    assert torch.equal(seen[1], given)
    with pytest.raises(DataError, match='goal'):
        model.loss({**batch, keys.GOAL: torch.ones(4, 5 - dims)})


def test_adapters_alone_are_trained(build):
    model = build(backbone=dict(adapter=dict(control='action', num_actions=3)))
    batch = {**motion_batch(4), keys.ACTION: torch.tensor([0, 1, 2, 1])}
    model.loss(batch)['loss'].backward()
    with_gradients = {name for name, param in model.named_parameters() if param.grad is not None}
    assert with_gradients == {name for name, _ in model.named_parameters() if name.startswith('backbone.adapter.')}
    assert model.backbone.adapter.outputs[0].weight.grad.abs().sum() > 0  # Where training begins.
    with pytest.raises(DataError, match=r'action.*classes 0 to 3.*0 to 2.*num_actions'):
        model.loss({**batch, keys.ACTION: torch.tensor([0, 3, 2, 1])})
    del batch[keys.ACTION]
    with pytest.raises(DataError, match=r'action.*smpl_to_motions'):
        model.loss(batch)


def test_marker_windows_train(build):
    model = build(codec=dict(features=('markers', 'velocity'), marker_ids=(1, 5, 300)))
    losses = model.loss(motion_batch(2))
    assert all(value.isfinite() for value in losses.values())
