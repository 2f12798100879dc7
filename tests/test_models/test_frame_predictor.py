import pytest
import torch

from motionlab.models import FrameRollout
from motionlab.models.guidance import guidance_batch
from motionlab.registry import MODELS
from motionlab.utils import ConfigError, DataError
from motionlab.utils.random import seed_iteration
from tests.frame_models import CHANNELS, Spy, latents, make_batch, make_model, model_config


def losses(model, batch, iteration=0):
    seed_iteration(0, 0, 1, iteration)
    return model(batch, mode='loss')['loss_flow']


@pytest.mark.parametrize('size', [1, 2, 3])
@pytest.mark.parametrize('frame', [(8, 8), (8, 12)])
def test_three_modes(size, frame):
    model, batch = make_model(), make_batch(size, *frame)
    loss = model(batch, mode='loss')
    assert list(loss) == ['loss_flow'] and loss['loss_flow'].ndim == 0 and loss['loss_flow'] > 0
    found = model(batch, mode='predict')
    for name in ('frames', 'target', 'last', 'reconstruction'):
        assert found[name].shape == (size, *frame, 3) and found[name].dtype == torch.uint8
    assert torch.equal(found['reconstruction'], batch['target'])  # This codec loses nothing.
    assert torch.equal(found['target'], batch['target']) and torch.equal(found['last'], batch['history'][:, -1])
    assert found['loss'].shape == (size,) and torch.equal(found['index'], batch['index'])
    x = latents(size, CHANNELS, frame[0] // 2, frame[1] // 2)
    assert model(x, torch.full((size,), 500.0), model.condition(latents(size, 2, *x.shape[1:]), batch['actions']),
                 ).shape == x.shape
    assert model.run_network(x).shape == x.shape


def test_cached_latents_stand_for_frames():
    model, batch = make_model(codec=dict(scaling_factor=2.0)), make_batch()
    raw = {'history_latents': model.codec.raw_latents(batch['history']),
           'target_latents': model.codec.raw_latents(batch['target'])}
    without = {key: value for key, value in batch.items() if key not in ('history', 'target')}
    assert torch.equal(losses(model, batch), losses(model, without | raw))


def test_validation_does_not_depend_on_the_batch():
    model, batch = make_model(), make_batch(3, first=5)
    whole = model(batch, mode='predict')
    for row in range(3):
        alone = model({key: value[row:row + 1] for key, value in batch.items()}, mode='predict')
        assert torch.equal(alone['frames'][0], whole['frames'][row])
        torch.testing.assert_close(alone['loss'][0], whole['loss'][row])
    again = model(batch | {'sample_index': batch['sample_index'] + 1}, mode='predict')
    assert not torch.equal(again['frames'], whole['frames']) and not torch.equal(again['loss'], whole['loss'])


@pytest.mark.parametrize('density', ['uniform', 'mode'])
def test_validation_takes_levels_of_the_training_density(density):
    model = make_model(head=dict(density=density))
    seen = []
    model.head.loss = lambda pred, x0, noise: pred.flatten(1).mean(1)
    model.head.add_noise = lambda x0, noise, sigma: (seen.append(sigma), x0)[1]
    model(make_batch(64), mode='predict')
    assert len(seen[0].unique()) == 64 and 0 <= seen[0].min() < 0.1 and 0.9 < seen[0].max() <= 1


def test_every_weight_is_trained_and_the_codec_is_not():
    model = make_model(context_noise=0.7).train()
    losses(model, make_batch(32)).backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []
    assert all(name.startswith('backbone.') for name, _ in model.named_parameters())


def test_several_targets_are_made_one_from_the_other(monkeypatch):
    model, batch = make_model(action_dropout=0.0), make_batch(num_targets=3)
    spy, networks = Spy(model.backbone, 'condition', monkeypatch), Spy(model.backbone, 'forward', monkeypatch)
    loss = losses(model, batch)
    targets = model.codec.encode_frames(batch['target'])                                   # (B, 3, C, h, w)
    own = []
    for step, ((history, actions, mask, level), _) in enumerate(spy.calls):
        assert torch.equal(actions, batch['actions'][:, step:step + 2]) and mask.all() and (level == 0).all()
        own_history = torch.cat([model.codec.encode_frames(batch['history']), *own], dim=1)[:, -2:]
        assert torch.equal(history, own_history) and not history.requires_grad
        (x_t, time, _), _ = networks.calls[step]
        own.append((x_t - (time / 1000).view(-1, 1, 1, 1) * networks.results[step].detach())[:, None])
    assert len(spy) == len(networks) == 3
    # What stands in the history is not the true frame.
    assert (own[0][:, 0] - targets[:, 0]).abs().mean() > 0.1
    loss.backward()


def test_one_target_trains_as_the_first_of_several_would():
    model, batch = make_model(), make_batch(num_targets=2)
    first = batch | {'target': batch['target'][:, :1], 'actions': batch['actions'][:, :2],
                     'action_mask': batch['action_mask'][:, :2]}
    second = {**first, 'target': batch['target'][:, 0]}
    assert torch.equal(losses(model, first), losses(model, second))


@pytest.mark.parametrize('num_targets', [1, 2])
def test_what_a_sample_gets_does_not_depend_on_the_number_of_processes(num_targets):
    model = make_model(context_noise=0.7, action_dropout=0.5)
    batch = make_batch(4, num_targets=num_targets)
    whole, parts = losses(model, batch), []
    for rank in range(2):
        seed_iteration(0, rank, 2, 0)
        parts.append(model({key: value[rank::2] for key, value in batch.items()}, mode='loss')['loss_flow'])
    torch.testing.assert_close(torch.stack(parts).mean(), whole)
    assert not torch.isclose(parts[0], whole)


def test_guidance_by_hand():
    model, batch = make_model(), make_batch()
    history, x = latents(3, 2, CHANNELS, 4, 4), latents(3, CHANNELS, 4, 4, seed=1)
    condition = model.condition(history, batch['actions'])
    null = model.backbone.null_condition(condition)
    time = torch.full((3,), 600.0)
    given, without = model(x, time, condition), model(x, time, null)
    assert (given - without).abs().max() > 1e-3
    with torch.no_grad():
        found = model.velocity(condition, guidance=2.5)(x, 0.6)
        torch.testing.assert_close(found, without + 2.5 * (given - without), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(model.velocity(condition)(x, 0.6), given)
        limited = model.velocity(condition, 2.5, (0.2, 0.5))
        torch.testing.assert_close(limited(x, 0.6), given)
        assert (limited(x, 0.5) - model.velocity(condition)(x, 0.5)).abs().max() > 1e-3
    assert guidance_batch(condition, null).keys() == condition.keys()


def test_predicted_changes_give_the_velocity_that_leads_there(monkeypatch):
    model, batch = make_model(predicts='change'), make_batch()
    network = Spy(model.backbone, 'forward', monkeypatch)
    history, x = latents(3, 2, CHANNELS, 4, 4), latents(3, CHANNELS, 4, 4, seed=1)
    condition = model.condition(history, batch['actions'])
    time = torch.tensor([20.0, 300.0, 1000.0])
    with torch.no_grad():
        velocity = model(x, time, condition)
        clean = history[:, -1] + network.results[-1]
        # Straight from x to the predicted latent; from no nearer than 0.05.
        torch.testing.assert_close(velocity, (x - clean) / torch.tensor([0.05, 0.3, 1.0]).view(3, 1, 1, 1))
        alone = model.velocity(condition)(x, 0.3)
        torch.testing.assert_close(alone[1], velocity[1])
        # The last step of a solver ends at what the network says then.
        latent = model.head.sample(model.velocity(condition), x, 3)
        torch.testing.assert_close(latent, history[:, -1] + network.results[-1], rtol=1e-4, atol=1e-5)
        null = model.backbone.null_condition(condition)
        guided = model.velocity(condition, 2.0)(x, 0.3)
        torch.testing.assert_close(guided, 2 * alone - model.velocity(null)(x, 0.3), rtol=1e-4, atol=1e-4)


def test_a_network_that_says_nothing_changes_repeats_the_last_frame():
    model, batch = make_model(predicts='change'), make_batch()
    torch.nn.init.zeros_(model.backbone.dit.net.proj_out.weight)
    found = model(batch, mode='predict')
    assert torch.equal(found['frames'], found['last'])
    rollout = FrameRollout(model)
    state = rollout.begin(rollout.encode(batch['history']), batch['actions'][:, :1])
    for latent in rollout.run(state, torch.zeros(3, 3, dtype=torch.long)):
        assert torch.equal(rollout.decode(latent), batch['history'][:, -1])


@pytest.mark.parametrize('options', [dict(predicts='change', context_noise=0.7), dict(predicts='velocity')])
def test_learns_a_game_that_stands_still(options):
    model, batch = make_model(action_dropout=0.0, **options).train(), make_batch(4)
    batch['target'] = batch['history'][:, -1]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    values = []
    for step in range(40):
        loss = losses(model, batch, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert sum(values[-8:]) < 0.8 * sum(values[:8])


@pytest.mark.parametrize(('change', 'match'), [
    (dict(actions=torch.full((3, 2), 5)), 'actions.*5 to 5.*0 to 4'),
    (dict(actions=torch.full((3, 2), -1)), 'actions.*-1 to -1.*0 to 4'),
    (dict(actions=torch.zeros(3, 4, dtype=torch.long)), 'actions'),
    (dict(history=torch.zeros(3, 3, 8, 8, 3, dtype=torch.uint8), actions=torch.zeros(3, 3, dtype=torch.long),
          action_mask=torch.ones(3, 3, dtype=torch.bool)), r'history.*\(B, 2, 12, h, w\)'),
    (dict(target=None), 'target or target_latents'), (dict(extra=torch.zeros(3)), 'extra'),
    (dict(history=torch.zeros(3, 2, 9, 8, 3, dtype=torch.uint8)), 'nearest valid size')])
def test_malformed_batches_are_named(change, match):
    batch = {key: value for key, value in (make_batch() | change).items() if value is not None}
    with pytest.raises(DataError, match=match):
        make_model()(batch, mode='loss')


def test_predicting_needs_frames_and_their_numbers():
    for key in ('sample_index', 'history', 'target'):
        batch = make_batch()
        del batch[key]
        with pytest.raises(DataError, match=key):
            make_model()(batch, mode='predict')
    with pytest.raises(DataError, match='time, condition'):
        make_model()(latents(1, CHANNELS, 4, 4))


@pytest.mark.parametrize(('options', 'match'), [
    (dict(action_dropout=1.0), 'action_dropout=1.0'), (dict(context_noise=-0.1), 'context_noise=-0.1'),
    (dict(context_noise=0.7, backbone=dict(num_context_levels=0)), 'set backbone.num_context_levels'),
    (dict(predicts='noise'), "predicts='noise'.*velocity.*change"), (dict(workflow='rgb'), "workflow='rgb'"),
    (dict(backbone=dict(in_channels=4)), 'in_channels=4')])
def test_parts_that_do_not_fit_are_refused(options, match):
    pytest.importorskip('diffusers')
    with pytest.raises(ConfigError, match=match):
        MODELS.build(model_config(**options))
