import numpy as np
import pytest

from motionlab.apis.play import GameStarts, StoreStarts
from motionlab.codecs.frame_batch import NO_ACTION, RIGHT
from motionlab.datasets.frame_store import open_frame_store
from motionlab.datasets.frame_store_writer import FrameStoreWriter
from motionlab.datasets.game_recording import MazeRecording, record_maze_game
from motionlab.datasets.maze_game import MazeGame
from motionlab.utils import ConfigError, DataError
from tests.frame_stores import write_frame_store


@pytest.fixture(scope='module')
def recording(tmp_path_factory):
    return record_maze_game(tmp_path_factory.mktemp('store') / 'maze', MazeRecording(240, num_mazes=2, max_ticks=60))


@pytest.mark.parametrize(('num_frames', 'tile_px'), [(1, 4), (3, 8)])
def test_game_goes_straight_on_until_the_model_begins(num_frames, tile_px):
    starts, game = GameStarts(num_frames, tile_px), MazeGame(tile_px)
    start, frames = starts(5), [game.reset(5)]
    frames += [game.step(NO_ACTION)[0] for _ in range(num_frames - 1)]
    np.testing.assert_array_equal(start.frames, frames)
    assert start.actions.tolist() == [NO_ACTION] * (num_frames - 1)
    assert start.real.state == game.get_state() and starts.frame_size == (16 * tile_px, 16 * tile_px)
    np.testing.assert_array_equal(start.real.after(RIGHT).frame, game.step(RIGHT)[0])
    assert (starts(6).frames != start.frames).any() and GameStarts(real=False)(5).real is None


def test_starts_asked_for_at_the_same_time_do_not_mix(monkeypatch):
    """Another thread begins another maze in the middle of a start."""
    starts, reset, asked = GameStarts(), MazeGame.reset, []

    def reset_and_be_interrupted(game, seed=0):
        frame = reset(game, seed)
        if not asked:
            asked.append(seed)
            starts(7)
        return frame
    monkeypatch.setattr(MazeGame, 'reset', reset_and_be_interrupted)
    found = starts(3)
    assert asked == [3]
    np.testing.assert_array_equal(found.frames[0], MazeGame().reset(3))
    np.testing.assert_array_equal(found.real.frame, found.frames[0])


def test_real_game_stands_still_when_it_is_over():
    real = GameStarts()(0).real
    for _ in range(2000):
        real = real.after(NO_ACTION)
    assert real.over and real.after(RIGHT) == real


@pytest.mark.parametrize('split', ['train', 'test_unseen'])
def test_recorded_game_goes_on_as_it_was_recorded(recording, split):
    starts = StoreStarts(recording, 3, split)
    episodes = recording.split_episodes(split)
    for seed, episode in [*enumerate(episodes), (len(episodes), episodes[0])]:
        start, rows = starts(seed), recording.episode(episode)
        np.testing.assert_array_equal(start.frames, recording.frames[rows][:3])
        assert start.actions.tolist() == recording.actions[rows][:2].tolist()
        real = start.real.after(int(recording.actions[rows][2]))
        np.testing.assert_array_equal(real.frame, recording.frames[rows][3])
    assert StoreStarts(recording, real=False)(0).real is None and starts.fps == recording.meta['fps']


def test_recording_of_another_game_has_no_real_game(tmp_path):
    store = write_frame_store(tmp_path / 's', (7, 2, 3))
    starts = StoreStarts(store, 3)
    assert starts(0).real is None and not starts.real and starts.frame_size == (8, 8)
    np.testing.assert_array_equal(starts(1).frames, store.frames[9:12])  # The second one is too short.
    with pytest.raises(DataError, match='8 frames'):
        StoreStarts(store, 8)
    with pytest.raises(DataError, match='val'):
        StoreStarts(store, split='val')


def test_latents_alone_are_refused(tmp_path):
    with FrameStoreWriter(tmp_path / 's', 8, 8, maker={}, with_frames=False) as writer:
        writer.add_episode(None, np.zeros(3, np.int64), 'cut')
        store = writer.finish()
    with pytest.raises(ConfigError, match='latents only'):
        StoreStarts(store)


def test_frames_of_another_game_are_noticed(recording, tmp_path, monkeypatch):
    store = open_frame_store(recording.path)
    monkeypatch.setitem(store.meta['episodes'][0], 'maze_seed', 77)
    with pytest.raises(DataError, match='--no-oracle'):
        StoreStarts(store)(0)
