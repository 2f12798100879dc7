import threading
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from motionlab.apis.play import FramePlayer, GameStarts, PlaySession, session
from motionlab.codecs.frame_batch import DOWN, LEFT, NO_ACTION, RIGHT, UP
from motionlab.datasets.maze_game import MazeGame
from motionlab.models.frame_rollout import FrameOptions, FrameRollout
from motionlab.utils import ConfigError, DataError
from tests.frame_models import Spy, make_model
from tests.play_servers import make_player

ACTIONS = (UP, UP, LEFT, NO_ACTION, RIGHT, DOWN, LEFT)


@pytest.fixture(scope='module')
def player():
    player = make_player(num_steps=2)
    yield player
    player.close()


def _pixels(png: bytes) -> np.ndarray:
    return np.array(Image.open(BytesIO(png)).convert('RGB'))


def _play(player, seed=3, actions=ACTIONS):
    game = PlaySession(player, seed)
    return [game.step(action).model_png for action in actions]


@pytest.mark.parametrize('num_frames', [1, 2])
def test_frames_are_those_of_the_rollout(num_frames):
    player = make_player(GameStarts(num_frames), num_steps=2, guidance=1.5)
    game = PlaySession(player, 3)
    rollout = FrameRollout(player.model, FrameOptions(num_steps=2, guidance=1.5, seed=3))
    start = player.starts(3)
    state = rollout.begin(rollout.encode(torch.from_numpy(start.frames))[None], torch.from_numpy(start.actions)[None])
    assert state.mask.tolist() == [[num_frames == 2, True]]
    np.testing.assert_array_equal(_pixels(game.view.model_png), start.frames[-1])
    for number, action in enumerate(ACTIONS, 1):
        latent, state = rollout.step(state, action)
        view = game.step(action, number)
        np.testing.assert_array_equal(_pixels(view.model_png), rollout.decode(latent)[0].numpy())
        assert view.step == number and view.model_ms > 0
    player.close()


def test_real_game_gets_the_same_actions(player):
    game, real = PlaySession(player, 4), MazeGame()
    np.testing.assert_array_equal(_pixels(game.view.real_png), real.reset(4))
    for action in ACTIONS:
        np.testing.assert_array_equal(_pixels(game.step(action).real_png), real.step(action)[0])
    assert not game.view.over


def test_same_seed_and_actions_give_the_same_frames_whoever_else_plays(player):
    frames = _play(player)
    assert frames != _play(player, seed=5) and frames[2] != _play(player, actions=(UP, UP, RIGHT))[2]
    game, other = PlaySession(player, 9), PlaySession(player, 3)
    game.step(LEFT)
    assert game.reset(3).step == 0
    for action, frame in zip(ACTIONS, frames, strict=True):
        assert game.step(action).model_png == frame
        other.step(DOWN)


def test_step_that_is_asked_for_again_is_made_once(player, monkeypatch):
    game = PlaySession(player, 3)
    spy = Spy(game._rollout, 'step', monkeypatch)
    first = game.step(UP, 1)
    assert game.step(UP, 1) is first and len(spy) == 1
    for action, number in ((LEFT, 1), (UP, 0), (UP, 3)):
        with pytest.raises(DataError, match='2: the game is at step 1'):
            game.step(action, number)
    for action in (5, -1):
        with pytest.raises(DataError, match='0 to 4'):
            game.step(action)
    assert game.view is first and len(spy) == 1
    assert game.step(UP, 2).model_png == _play(player, actions=(UP, UP))[1]


def test_step_that_failed_leaves_the_game_where_it_was(player, monkeypatch):
    game = PlaySession(player, 3)
    with monkeypatch.context() as broken:
        broken.setattr(game._rollout, 'decode', lambda latent: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            game.step(UP)
    assert game.view.step == 0
    assert [game.step(action).model_png for action in ACTIONS] == _play(player)


def test_threads_share_a_game(player):
    game, seen = PlaySession(player, 3), []
    threads = [threading.Thread(target=lambda: seen.extend(game.step(UP).step for _ in range(5))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(1, 21))


def test_recording(player, monkeypatch):
    game = PlaySession(player, 3)
    game.step(UP)
    assert game.record(True).recorded == 1 and len(game.recorded_frames()) == 1
    view = game.step(LEFT)
    assert (view.recorded, view.recording) == (2, True)
    first, last = game.recorded_frames()
    assert first.shape == (128, 128 + 8 + 128, 3)
    np.testing.assert_array_equal(last[::2, :128:2], _pixels(view.model_png))
    np.testing.assert_array_equal(last[::2, 136::2], _pixels(view.real_png))
    assert (game.record(False).recorded, game.step(UP).recorded) == (2, 2)
    assert game.record(True).recorded == 1
    monkeypatch.setattr(session, 'MOST_RECORDED', 3)
    views = [game.step(UP) for _ in range(4)]
    assert [view.recorded for view in views] == [2, 3, 3, 3] and not views[1].recording


def test_without_the_real_game():
    player = make_player(GameStarts(real=False))
    game = PlaySession(player, 0)
    game.record(True)
    view = game.step(UP)
    assert view.real_png is None and not view.over and game.recorded_frames()[1].shape == (128, 128, 3)
    player.close()


def test_what_does_not_fit_is_refused():
    with pytest.raises(DataError, match='65 x 65'):
        make_player(codec=dict(patch=5))
    with pytest.raises(ConfigError, match='num_actions'):
        FramePlayer(make_model(codec=dict(patch=4), backbone=dict(num_actions=3)), GameStarts())
    player = make_player()
    for seed in (-1, 2**31):
        with pytest.raises(ConfigError, match='seed'):
            PlaySession(player, seed)
    player.close()


def test_model_is_put_into_evaluation_mode_and_gets_no_gradients():
    model = make_model(codec=dict(patch=4)).train()
    player = FramePlayer(model, GameStarts(), FrameOptions(num_steps=1))
    game = PlaySession(player)
    game.step(UP)
    assert not model.training and not game._state.history.requires_grad
    player.close()
