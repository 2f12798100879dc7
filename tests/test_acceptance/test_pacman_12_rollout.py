import torch

from motionlab.models import FrameOptions, FrameRollout
from tests.frame_models import Spy, make_batch, make_model

FRAMES = 64


def play(model, seed, guidance=1.0):
    rollout = FrameRollout(model, FrameOptions(num_steps=2, guidance=guidance, seed=seed))
    batch = make_batch(2, num_targets=FRAMES + 1)
    state = rollout.begin(rollout.encode(batch['history']), batch['actions'][:, :1])
    return list(rollout.run(state, batch['actions'][:, 1:1 + FRAMES]))


def test_pacman_12_deterministic_by_seed():
    """Rollout of 64 frames: deterministic by seed."""
    model = make_model()
    one, again, other = play(model, 3), play(model, 3), play(model, 4)
    assert len(one) == FRAMES and all(map(torch.equal, one, again))
    assert not torch.equal(one[0], other[0]) and torch.stack(one).isfinite().all()
    torch.manual_seed(11)  # Global generators have no part in it, nor do they move.
    before = torch.get_rng_state()
    assert torch.equal(play(model, 3)[-1], one[-1]) and torch.equal(torch.get_rng_state(), before)


def test_pacman_12_history_stays_in_latent_space(monkeypatch):
    """History kept in latent space: what was made is what the next frame is made from; nothing is decoded."""
    model = make_model(codec=dict(scaling_factor=0.5))
    codec = [Spy(model.codec, name, monkeypatch) for name in ('raw_latents', 'decode_frames', 'encode', 'to_uint8')]
    condition = Spy(model.backbone, 'condition', monkeypatch)
    made = play(model, 0)
    assert [len(spy) for spy in codec] == [1, 0, 0, 0]  # Once: the frames that it begins with.
    for number in range(2, FRAMES):
        history = condition.calls[number][0][0]
        assert torch.equal(history, torch.stack(made[number - 2:number], dim=1))
    # Values beyond what frames can be are kept too, which decoding would have clamped.
    assert any(latent.abs().max() > 0.5 for latent in made)


def test_pacman_12_conditioned_once_per_frame(monkeypatch):
    """History conditioned once per frame (call count): encoder, embedded actions and their keys, with guidance too."""
    for guidance, branches in ((1.0, 1), (2.0, 2)):
        model = make_model(backbone=dict(history='conv3d'))
        encoder = Spy(model.backbone.history_encoder, 'forward', monkeypatch)
        condition = Spy(model.backbone, 'condition', monkeypatch)
        keys = Spy(model.backbone.dit, 'embed_tokens', monkeypatch)
        network = Spy(model.backbone, 'forward', monkeypatch)
        play(model, 0, guidance)
        assert (len(encoder), len(condition), len(network)) == (FRAMES, FRAMES, 2 * FRAMES)
        assert len(keys) == branches * FRAMES  # The null has keys of its own.


def test_pacman_12_newest_action_is_in_the_last_slot(monkeypatch):
    """Actions of a rollout are those of the history's frames, oldest first, the one just pressed last."""
    model = make_model()
    condition = Spy(model.backbone, 'condition', monkeypatch)
    batch = make_batch(2, num_targets=FRAMES + 1)
    play(model, 0)
    for number, (arguments, _) in enumerate(condition.calls):
        assert torch.equal(arguments[1], batch['actions'][:, number:number + 2])
