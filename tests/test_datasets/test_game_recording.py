import numpy as np
import pytest

from motionlab.datasets import game_recording
from motionlab.datasets.frame_store import open_frame_store
from motionlab.datasets.game_recording import MazeRecording, maze_seeds, record_maze_game, replay_states, split_frames
from motionlab.datasets.maze_game import render
from motionlab.datasets.maze_game.maze import make_walls
from motionlab.utils import ConfigError
from tests.frame_stores import write_frame_store

SMALL = MazeRecording(num_frames=1200, num_mazes=3, num_unseen_mazes=2, max_ticks=200)


@pytest.fixture(scope='module')
def store(tmp_path_factory):
    return record_maze_game(tmp_path_factory.mktemp('recording') / 'maze', SMALL)


def test_splits_hold_what_they_promise(store):
    frames = {name: int(store.lengths[store.split_episodes(name)].sum()) for name in store.meta['splits']}
    assert frames == {'train': 960, 'val': 60, 'test_seen': 60, 'test_unseen': 120} and len(store) == 1200
    mazes = {name: {store.meta['episodes'][e]['maze_seed'] for e in store.split_episodes(name)} for name in frames}
    seen, unseen = maze_seeds(SMALL)
    assert mazes['train'] == set(seen) and mazes['val'] | mazes['test_seen'] <= set(seen)
    assert mazes['test_unseen'] <= set(unseen) and len({make_walls(seed) for seed in (*seen, *unseen)}) == 5
    assert store.frame_size == (64, 64) and store.meta['env']['name'] == 'MazeGame'
    assert store.lengths[store.split_episodes('train')].max() <= 201
    assert np.bincount(store.actions[store.actions < 255]).min() > 20


def test_frames_are_those_of_the_states(store):
    for episode in range(store.num_episodes):
        states, frames = replay_states(store, episode), store.frames[store.episode(episode)]
        assert len(states) == len(frames)
        for place in (0, len(states) // 2, -1):
            np.testing.assert_array_equal(render(states[place], 4), frames[place])
        if store.end[episode] == 1:
            assert states[-1].finished and not states[-2].finished
    assert {0, 2} <= set(store.end.tolist())


def test_test_episodes_begin_anywhere(store):
    skipped = [len(store.meta['episodes'][e]['skipped']) for name in ('val', 'test_seen', 'test_unseen')
               for e in store.split_episodes(name)]
    assert max(skipped) > 0 and all(store.meta['episodes'][e]['skipped'] == [] for e in store.split_episodes('train'))


def test_the_same_recording_is_the_same_bytes_also_after_an_interruption(store, tmp_path, monkeypatch):
    play, calls = game_recording._play_maze, []

    def dies(game, made_by):
        calls.append(made_by)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return play(game, made_by)

    monkeypatch.setattr(game_recording, '_play_maze', dies)
    with pytest.raises(KeyboardInterrupt):
        record_maze_game(tmp_path / 'maze', SMALL)
    again = record_maze_game(tmp_path / 'maze', SMALL)
    assert again.meta == store.meta and len(calls) == store.num_episodes + 1
    assert record_maze_game(tmp_path / 'maze', SMALL).path == again.path and len(calls) == store.num_episodes + 1
    with pytest.raises(ConfigError, match='was made with other settings: seed was 0, is 5'):
        record_maze_game(tmp_path / 'maze', MazeRecording(**{**vars(SMALL), 'seed': 5}))
    assert open_frame_store(again.path, verify=True).num_episodes == store.num_episodes
    other = record_maze_game(tmp_path / 'other', MazeRecording(**{**vars(SMALL), 'seed': 1, 'num_frames': 300}))
    assert {entry['maze_seed'] for entry in other.meta['episodes']}.isdisjoint(
        entry['maze_seed'] for entry in store.meta['episodes'])


def test_sizes_and_options(tmp_path):
    big = record_maze_game(tmp_path / 'big', MazeRecording(num_frames=40, tile_px=8, num_mazes=1, num_unseen_mazes=0,
                                                           policy='random_hold'))
    assert big.frame_size == (128, 128) and 'test_unseen' not in big.meta['splits']
    assert split_frames(10_000, unseen=True) == {'train': 8000, 'val': 500, 'test_seen': 500, 'test_unseen': 1000}
    for wrong in (dict(num_frames=0), dict(num_mazes=0), dict(seed=-1), dict(fps=0.0), dict(num_mazes=1001)):
        with pytest.raises(ConfigError, match='expected positive numbers'):
            MazeRecording(**wrong)
    with pytest.raises(ConfigError, match='policy'):
        record_maze_game(tmp_path / 'x', MazeRecording(policy='human'))
    with pytest.raises(ConfigError, match='expected MazeGame'):
        replay_states(write_frame_store(tmp_path / 'numbers'), 0)
