import pytest
import torch

from motionlab.models import FrameOptions, FrameRollout
from motionlab.utils import ConfigError, DataError
from tests.frame_models import CHANNELS, Spy, latents, make_batch, make_model


def begin(rollout, size=2, **options):
    batch = make_batch(size)
    return rollout.begin(rollout.encode(batch['history']), batch['actions'][:, :1], **options)


def frames_of(rollout, state, steps=4):
    return torch.stack(list(rollout.run(state, torch.arange(steps).expand(len(state.history), -1) % 5)), dim=1)


def test_equals_the_model_called_frame_by_frame():
    model = make_model()
    rollout = FrameRollout(model, FrameOptions(num_steps=3, solver='dpm++', guidance=1.5, seed=7))
    batch = make_batch(1)
    history, actions = rollout.encode(batch['history']), [int(batch['actions'][0, 0])]
    found = frames_of(rollout, begin(rollout, 1))
    for number in range(4):
        actions.append(number % 5)
        condition = model.condition(history, torch.tensor([actions[-2:]]))
        noise = torch.randn(1, *history.shape[2:], generator=torch.Generator().manual_seed(7 + number))
        with torch.no_grad():
            latent = model.head.sample(model.velocity(condition, 1.5), noise, 3, 'dpm++')
        torch.testing.assert_close(found[:, number], latent, rtol=1e-4, atol=1e-5)
        history = torch.cat([history[:, 1:], latent[:, None]], dim=1)


@pytest.mark.parametrize('guidance', [1.0, 2.0])
@pytest.mark.parametrize('frame', [(8, 8), (8, 12)])
def test_sequences_do_not_depend_on_their_batch(guidance, frame):
    rollout = FrameRollout(make_model(), FrameOptions(guidance=guidance))
    batch = make_batch(3, *frame)
    history = rollout.encode(batch['history'])
    whole = frames_of(rollout, rollout.begin(history, batch['actions'][:, :1], seeds=(3, 5, 8)))
    for row, seed in enumerate((3, 5, 8)):
        alone = rollout.begin(history[row:row + 1], batch['actions'][row:row + 1, :1], seeds=(seed,))
        torch.testing.assert_close(frames_of(rollout, alone)[0], whole[row], rtol=1e-4, atol=1e-4)


def test_sequences_have_noise_of_their_own_and_the_first_that_of_the_seed():
    rollout = FrameRollout(make_model(), FrameOptions(seed=9))
    history = rollout.encode(make_batch(1)['history']).expand(2, -1, -1, -1, -1)
    one, other = frames_of(rollout, rollout.begin(history, torch.zeros(2, 1, dtype=torch.long)), 1)
    assert (one - other).abs().max() > 1e-2
    assert rollout.begin(history, torch.zeros(2, 1, dtype=torch.long)).seeds[0] == 9


def test_short_histories_are_padded_as_in_training(monkeypatch):
    model = make_model(backbone=dict(num_history=3))
    rollout = FrameRollout(model)
    first = rollout.encode(make_batch(2)['history'][:, :1])
    state = rollout.begin(first)
    assert torch.equal(state.history, first.expand(-1, 3, -1, -1, -1)) and state.actions.tolist() == [[4, 4]] * 2
    spy = Spy(model.backbone, 'condition', monkeypatch)
    masks = []
    for action in (0, 1, 2):
        _, state = rollout.step(state, action)
        (_, actions, mask, level), _ = spy.calls[-1]
        masks.append((actions[0].tolist(), mask[0].tolist(), level.tolist()))
    assert masks == [([4, 4, 0], [False, False, True], [0, 0]), ([4, 0, 1], [False, True, True], [0, 0]),
                     ([0, 1, 2], [True, True, True], [0, 0])]


def test_long_histories_are_cut_and_states_stay_as_they_are():
    rollout = FrameRollout(make_model())
    history, actions = latents(2, 5, CHANNELS, 4, 4), torch.arange(8).view(2, 4) % 5
    state = rollout.begin(history, actions)
    assert torch.equal(state.history, history[:, 3:]) and torch.equal(state.actions, actions[:, 3:])
    kept = state.history.clone()
    first, following = rollout.step(state, torch.tensor([1, 2]))
    again, _ = rollout.step(state, torch.tensor([1, 2]))
    assert torch.equal(state.history, kept) and torch.equal(first, again)
    assert (state.frame, following.frame) == (0, 1)
    assert not torch.equal(rollout.step(following, torch.tensor([1, 2]))[0], first)


def test_weights_may_change_between_rollouts():
    model = make_model()
    rollout = FrameRollout(model)
    before = frames_of(rollout, begin(rollout), 1)
    with torch.no_grad():
        model.backbone.dit.net.time_embed.linear.weight.mul_(50)
    after = frames_of(rollout, begin(rollout), 1)
    torch.testing.assert_close(after, frames_of(FrameRollout(model), begin(FrameRollout(model)), 1))
    assert (after - before).abs().max() > 1e-3


def test_times_are_embedded_once_for_a_whole_rollout(monkeypatch):
    rollout = FrameRollout(make_model(), FrameOptions(num_steps=3))
    spy = Spy(rollout.model.backbone, 'embed_time', monkeypatch)
    frames_of(rollout, begin(rollout), 5)
    assert len(spy) == 3 and all(call[0][0].dtype == torch.float32 for call in spy.calls)
    assert [call[0][0].item() for call in spy.calls] == pytest.approx([1000, 2000 / 3, 1000 / 3])


@pytest.mark.parametrize(('options', 'match'), [
    (dict(num_steps=0), 'num_steps=0'), (dict(solver='heun'), "solver='heun'"), (dict(guidance=-1.0), 'guidance=-1.0'),
    (dict(guidance=float('nan')), 'guidance=nan'), (dict(guidance_interval=(0.5, 0.2)), 'interval=.0.5, 0.2'),
    (dict(seed=-1), 'seed=-1')])
def test_options_that_mean_nothing_are_refused(options, match):
    with pytest.raises(ConfigError, match=match):
        FrameOptions(**options)


def test_shapes_that_do_not_fit_are_named():
    rollout = FrameRollout(make_model())
    history = latents(2, 2, CHANNELS, 4, 4)
    with pytest.raises(DataError, match='for step'):
        rollout.begin(history, torch.zeros(2, 2, dtype=torch.long))
    with pytest.raises(DataError, match='for step'):
        rollout.begin(history)
    with pytest.raises(DataError, match='history'):
        rollout.begin(history[0])
    with pytest.raises(DataError, match='seeds'):
        rollout.begin(history[:, :1], seeds=(1,))
    state = rollout.begin(history[:, :1])
    for wrong in (1.5, torch.zeros(3, dtype=torch.long)):
        with pytest.raises(DataError, match='action'):
            rollout.step(state, wrong)
    with pytest.raises(DataError, match='0 to 4'):
        rollout.step(state, 5)


def test_latents_of_a_cache_in_half_precision_are_taken():
    model = make_model()
    rollout = FrameRollout(model, FrameOptions(num_steps=1))
    start = latents(2, model.num_history, CHANNELS, 4, 4).half()
    actions = torch.zeros(2, model.num_history - 1, dtype=torch.long)
    latent, state = rollout.step(rollout.begin(start, actions), 0)
    assert torch.equal(latent, rollout.step(rollout.begin(start.float(), actions), 0)[0])
    assert torch.equal(state.history[:, -1], latent)
