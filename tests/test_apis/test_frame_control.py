import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from motionlab.apis import frame_control
from motionlab.apis.frame_control import CONTROL_NAMES, Share, evaluate_control, has_oracle, oracle_states
from motionlab.datasets.frame_store import open_frame_store
from motionlab.datasets.maze_game import Mover, read_state, render
from motionlab.models.frame_rollout import FrameOptions
from motionlab.utils import ConfigError, DataError
from tests.frame_models import make_model
from tests.frame_stores import write_frame_store
from tests.maze_models import disobedient, frozen, perfect, write_maze_store

STATES = 12


@pytest.fixture(scope='module')
def store(tmp_path_factory):
    return write_maze_store(tmp_path_factory.mktemp('maze') / 'store')


@pytest.fixture(scope='module')
def model():
    return make_model(codec=dict(patch=16), backbone=dict(depth=1))


def _control(monkeypatch, model, store, player):
    monkeypatch.setattr(frame_control, 'predict_frames', player)
    return evaluate_control(model, store, 'test_unseen', num_states=STATES)


def test_the_rules_themselves_make_no_mistake(monkeypatch, model, store):
    """The instrument is exact: on what the game draws, every count is as it should be."""
    found = _control(monkeypatch, model, store, perfect)
    assert list(found) == list(CONTROL_NAMES) and found['position'].total == 5 * STATES
    good = {name for name in found if name not in ('player_in_wall', 'ghost_errors', 'new_pellets',
                                                   'position_copy_last')}
    for name, share in found.items():
        assert share.total > 0, name
        assert share.value == (1 if name in good else 0) or name == 'position_copy_last', (name, str(share))
    assert found['ghost_positions'].total == 2 * 5 * STATES


def test_the_last_frame_again(monkeypatch, model, store):
    found = _control(monkeypatch, model, store, frozen)
    assert found['position'] == found['position_copy_last'] and found['position'].value < 0.5
    assert found['position_moving'].count == 0 and found['position_obeyed'].count == 0
    assert found['position_moving'].total == 5 * STATES - found['position_copy_last'].count
    assert found['one_player'].value == 1 and found['new_pellets'].count == 0 and found['ghost_errors'].count == 0
    assert found['ghost_positions'].value < 0.5 and found['pellets'].value < 1


def test_actions_that_are_ignored(monkeypatch, model, store):
    found = _control(monkeypatch, model, store, disobedient)
    assert found['position_obeyed'].count == 0 < found['position_obeyed'].total
    assert found['position'].total - found['position'].count == found['position_obeyed'].total
    assert found['player_in_wall'].count == 0


def test_walls_ghosts_and_pellets(monkeypatch, model, store):
    """A player inside a wall, no ghost, and a pellet more."""
    def wrong(model, history, actions, **options):
        frames = perfect(model, history, actions)
        for row, frame in enumerate(frames[:, 0]):
            state = read_state(frame.numpy())
            tile = next(tile for tile, wall in enumerate(state.walls) if not wall and not state.pellets[tile])
            pellets = bytes(2 * (place == tile) for place in range(len(state.walls)))
            spoiled = replace(state, player=Mover(0, 28, 1), ghosts=(), pellets=pellets)
            frames[row, 0] = torch.from_numpy(render(spoiled))
        return frames

    found = _control(monkeypatch, model, store, wrong)
    assert found['position'].count == 0 and found['player_in_wall'].value == 1 and found['ghost_errors'].value == 1
    assert found['ghost_positions'].count == found['pellets'].count == 0 and found['new_pellets'].value > 0.8
    assert found['one_player'].value == 1


def test_a_real_model_and_its_seed(model, store):
    one, again = (evaluate_control(model, store, 'test_seen', num_states=2, batch_size=size) for size in (64, 3))
    assert one == again and one['position'].total == 10
    evaluate_control(model, store, 'test_seen', num_states=1, options=FrameOptions(num_steps=1, seed=3, guidance=2.0))


def test_states_are_those_of_the_frames(store):
    rows = np.array([3, 40, len(store) - 2])
    for row, (game, state) in zip(rows, oracle_states(store, rows)):
        np.testing.assert_array_equal(game.render(state), store.frames[row])


def test_stores_without_an_oracle(model, tmp_path):
    other = write_frame_store(tmp_path / 'other', (9,), size=(64, 64), splits=('test_seen',))
    assert not has_oracle(other)
    with pytest.raises(ConfigError, match='MazeGame'):
        evaluate_control(model, other, 'test_seen')
    maze = write_maze_store(tmp_path / 'maze', 60)
    assert has_oracle(maze)
    meta = json.loads((maze.path / 'meta.json').read_text())
    for episode in meta['episodes']:
        episode['maze_seed'] += 1  # As if another version had made other mazes.
    (maze.path / 'meta.json').write_text(json.dumps(meta))
    with pytest.raises(DataError, match='record it again'):
        oracle_states(open_frame_store(maze.path), np.array([1]))


def test_shares():
    share = Share(3, 4) + Share(0, 12)
    assert share == Share(3, 16) and share.value == 3 / 16 and share.error == pytest.approx((3 * 13 / 16**3) ** 0.5)
    assert str(share) == '18.8% +- 9.8% (3 of 16)' and str(Share(0, 0)) == '- (0 of 0)'
    assert Share(0, 0).as_dict() == dict(count=0, total=0, value=None, error=None)
