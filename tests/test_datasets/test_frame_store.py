import json
import multiprocessing
import os
import pickle
import signal
from pathlib import Path

import numpy as np
import pytest

from motionlab.datasets.frame_store import open_frame_store
from motionlab.datasets.frame_store_writer import FrameStoreWriter, begun_size
from motionlab.utils import ConfigError, DataError
from tests.frame_stores import write_frame_store


@pytest.fixture
def store(tmp_path):
    return write_frame_store(tmp_path / 'game', splits=('train', 'val'))


def change_meta(store, **changes):
    path = store.path / 'meta.json'
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_what_is_written_is_read(store):
    assert sorted(path.name for path in store.path.iterdir()) == ['actions.npy', 'end.npy', 'frames.npy', 'meta.json',
                                                                  'offsets.npy']
    assert len(store) == 15 and store.num_episodes == 3 and store.lengths.tolist() == [7, 5, 3]
    assert store.frames.shape == (15, 8, 8, 3) and store.frames.dtype == np.uint8 and not store.frames.flags.writeable
    assert isinstance(store.frames.base.base, np.memmap) or isinstance(store.frames.base, np.memmap)
    np.testing.assert_array_equal(store.frames[:, 3, 2, 1], np.arange(15))
    assert store.actions[[6, 11, 14]].tolist() == [255] * 3 and (store.actions != 255).sum() == 12
    assert store.end.tolist() == [1, 2, 0] and store.episode(1) == slice(7, 12)
    assert store.episode_of(np.array([[0, 6], [7, 14]])).tolist() == [[0, 0], [1, 2]]
    assert store.split_episodes('train').tolist() == [0, 2] and store.split_episodes('all').tolist() == [0, 1, 2]
    assert store.meta['episodes'][2] == {'seed': 2} and store.meta['env'] == {'name': 'numbers'}
    np.testing.assert_array_equal(np.load(store.path / 'frames.npy'), store.frames)  # A plain .npy file.
    assert open_frame_store(store.path, verify=True).meta == store.meta
    with pytest.raises(DataError, match=r"splits: found only \['train', 'val'\], expected 'test', or 'all'"):
        store.split_episodes('test')


def test_only_the_path_travels_to_other_processes(store):
    data = pickle.dumps(store)
    assert len(data) < 300
    np.testing.assert_array_equal(pickle.loads(data).frames, store.frames)


@pytest.mark.parametrize(('name', 'change', 'message'), [
    ('actions', lambda a: a[:-1], 'frames and actions, episode 2: found 14 actions, expected 15'),
    ('actions', lambda a: np.where(np.arange(15) == 8, 5, a).astype(np.uint8), 'episode 1, row 1: action: found 5'),
    ('actions', lambda a: np.where(np.arange(15) == 11, 2, a).astype(np.uint8), 'episode 1, row 4: action: found 2'),
    ('actions', lambda a: np.where(np.arange(15) == 3, 255, a).astype(np.uint8), 'row 3: action: found 255'),
    ('actions', lambda a: a.astype(np.int64), 'array: found int64'),
    ('offsets', lambda o: o[[0, 2, 1, 3]], 'offsets'),
    ('offsets', lambda o: o[:-1], 'offsets: found 3 numbers for 3 episodes'),
    ('offsets', lambda o: o + 1, 'offsets'),
    ('end', lambda e: e + np.uint8(7), 'episode 0: end: found 8'),
    ('frames', lambda f: f[:-1], 'frames: found 14, expected 15'),
    ('frames', lambda f: f[..., :1], 'array: found uint8 of shape'),
    ('frames', lambda f: f[:, :4], 'frame size: found 4 high, 8 wide, expected 8 high, 8 wide'),
    ('frames', lambda f: f.astype(np.float32), 'array: found float32')])
def test_arrays_that_contradict_each_other_are_named(name, change, message, store):
    array = np.array(getattr(store, name))
    np.save(store.path / f'{name}.npy', change(array))
    with pytest.raises(DataError, match=message):
        open_frame_store(store.path)


@pytest.mark.parametrize(('changes', 'message'), [
    (dict(format=2), 'format'), (dict(height='8'), 'height'), (dict(fps=0), 'fps'), (dict(fps=True), 'fps'),
    (dict(num_frames=14), 'num_frames'), (dict(episodes=[]), 'episodes: found 0 entries'),
    (dict(splits={'train': [0, 3]}), 'splits: train: found 3, expected episodes 0 to 2'),
    (dict(splits={'train': [0, 1], 'val': [1]}), 'splits: val: found episode 1, which is in train already'),
    (dict(splits={'train': 0.5}), 'splits'), (dict(splits={'train': 1}), 'splits: train: found 1, expected a list'),
    (dict(splits={'train': [True]}), 'splits: train: found True'), (dict(fps=float('inf')), 'fps'),
    (dict(action_names=[]), 'action_names'),
    (dict(action_names=['A', 'B', 'C']), 'action: found'), (dict(sha256={}), 'sha256')])
def test_a_meta_that_contradicts_the_arrays_is_named(changes, message, store):
    change_meta(store, **changes)
    with pytest.raises(DataError, match=message):
        open_frame_store(store.path)


def test_checksums(store):
    actions = np.array(store.actions)
    actions[0] = (actions[0] + 1) % 5
    np.save(store.path / 'actions.npy', actions)
    with pytest.raises(DataError, match=r'actions\.npy: sha256'):
        open_frame_store(store.path)
    np.save(store.path / 'actions.npy', store.actions)
    with (store.path / 'frames.npy').open('r+b') as file:
        file.seek(-1, os.SEEK_END)
        file.write(b'x')
    open_frame_store(store.path)
    with pytest.raises(DataError, match=r'frames\.npy: sha256'):
        open_frame_store(store.path, verify=True)


def test_any_damaged_file_is_an_error_of_data(store):
    rng = np.random.default_rng(0)
    for name in ('actions.npy', 'offsets.npy', 'end.npy', 'meta.json', 'frames.npy'):
        content = (store.path / name).read_bytes()
        reach = min(len(content), 300)
        for _ in range(25):
            broken = bytearray(content)
            for place in rng.integers(reach, size=rng.integers(1, 4)):
                broken[place] = rng.integers(256)
            if rng.integers(2):
                broken = broken[:rng.integers(len(broken))]
            (store.path / name).write_bytes(broken)
            try:
                open_frame_store(store.path)
            except DataError:
                continue
        (store.path / name).unlink()
        with pytest.raises(DataError, match=name):
            open_frame_store(store.path)
        (store.path / name).write_bytes(content)
    open_frame_store(store.path)


def write_until_killed(folder, episodes):
    writer = FrameStoreWriter(folder, 8, 8, maker={'seed': 0})
    for number in range(episodes):
        writer.add_episode(np.full((4, 8, 8, 3), number, np.uint8), np.full(3, number % 5), 'cut', {}, 'train')
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_writer_leaves_no_store_and_can_go_on(tmp_path):
    folder = tmp_path / 'game'
    process = multiprocessing.get_context('fork').Process(target=write_until_killed, args=(folder, 2))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL and not folder.exists()
    with pytest.raises(DataError, match='nothing at this path'):
        open_frame_store(folder)
    part = tmp_path / '.game.part'
    with (part / 'frames.npy').open('ab') as frames:  # Half a frame, and half a line about an episode.
        frames.write(bytes(100))
    with (part / 'journal.jsonl').open('a') as journal:
        journal.write('{"actions": [1, ')
    assert begun_size(folder, {'seed': 0}) == (8, 8) and begun_size(folder, {'seed': 1}) is None
    with FrameStoreWriter(folder, 8, 8, maker={'seed': 0}) as writer:
        assert writer.num_episodes == 2 and writer.num_frames == 8 and writer.split_frames('train') == 8
        writer.add_episode(np.full((4, 8, 8, 3), 2, np.uint8), np.full(3, 2), 'cut', {}, 'val')
        resumed = writer.finish()
    with FrameStoreWriter(tmp_path / 'whole', 8, 8, maker={'seed': 0}) as writer:
        for number in range(3):
            writer.add_episode(np.full((4, 8, 8, 3), number, np.uint8), np.full(3, number % 5), 'cut', {},
                               'val' if number == 2 else 'train')
        assert writer.finish().meta == resumed.meta
    assert not part.exists()


def shorten_frames(part):
    os.truncate(part / 'frames.npy', 300)


@pytest.mark.parametrize('damage', [
    shorten_frames, lambda part: (part / 'frames.npy').unlink(), lambda part: (part / 'journal.jsonl').unlink(),
    lambda part: (part / 'journal.jsonl').write_text('no line\n'), lambda part: (part / 'maker.json').write_text('{')])
def test_a_damaged_rest_is_not_gone_on_with(damage, tmp_path):
    """Frames that are gone must not come back black."""
    first, second = np.full((4, 8, 8, 3), 7, np.uint8), np.full((3, 8, 8, 3), 9, np.uint8)
    with FrameStoreWriter(tmp_path / 'game', 8, 8, maker={}) as writer:
        writer.add_episode(first, [1, 2, 3], 'cut')
    damage(tmp_path / '.game.part')
    with FrameStoreWriter(tmp_path / 'game', 8, 8, maker={}) as writer:
        assert writer.num_episodes == 0
        writer.add_episode(second, [1, 2], 'cut')
        np.testing.assert_array_equal(writer.finish().frames, second)


def test_what_made_an_episode_must_be_plain(tmp_path):
    writer = FrameStoreWriter(tmp_path / 'game', 8, 8, maker={})
    with pytest.raises(DataError, match='episode 0: made_by'):
        writer.add_episode(np.zeros((2, 8, 8, 3), np.uint8), [1], 'cut', {'seed': np.int64(1)})
    writer.add_episode(np.ones((2, 8, 8, 3), np.uint8), [1], 'cut', {'seed': 1})
    assert (writer.finish().frames == 1).all()  # Nothing of the refused one.


def test_a_kill_between_completing_and_renaming_begins_anew(tmp_path, monkeypatch):
    frames = np.ones((2, 8, 8, 3), np.uint8)
    for remaining in (0, 1):
        folder, removed = tmp_path / f'game{remaining}', []
        with monkeypatch.context() as patch:

            def dies(path, remaining=remaining, removed=removed):
                if len(removed) == remaining:
                    raise KeyboardInterrupt
                removed.append(path)
                os.unlink(path)

            patch.setattr(Path, 'unlink', dies)
            writer = FrameStoreWriter(folder, 8, 8, maker={})
            writer.add_episode(frames, [1], 'cut')
            with pytest.raises(KeyboardInterrupt):
                writer.finish()
        with FrameStoreWriter(folder, 8, 8, maker={}) as writer:
            if not writer.num_episodes:
                writer.add_episode(frames, [1], 'cut')
            assert len(writer.finish()) == 2


def test_frames_without_a_checksum_are_refused(store):
    change_meta(store, sha256={name: value for name, value in store.meta['sha256'].items() if name != 'frames.npy'})
    with pytest.raises(DataError, match=r'sha256: found none of frames\.npy'):
        open_frame_store(store.path)


def test_another_maker_begins_anew(tmp_path):
    frames = np.zeros((2, 8, 8, 3), np.uint8)
    FrameStoreWriter(tmp_path / 'game', 8, 8, maker={'seed': 0}).add_episode(frames, [1], 'cut')
    assert FrameStoreWriter(tmp_path / 'game', 8, 8, maker={'seed': 1}).num_episodes == 0
    with pytest.raises(DataError, match='episodes: found none'):
        FrameStoreWriter(tmp_path / 'game', 8, 8, maker={'seed': 1}).finish()


@pytest.mark.parametrize(('frames', 'actions', 'end', 'message'), [
    ((3, 8, 8, 3), [0, 1, 2], 'cut', '3 frames for 3 actions, expected one frame more'),
    ((3, 8, 9, 3), [0, 1], 'cut', r'shape \(8, 9, 3\)'),
    ((3, 8, 8, 4), [0, 1], 'cut', r'shape \(8, 8, 4\)'),
    ((3, 8, 8, 3), [0, 5], 'cut', 'episode 0, row 1: action: found 5, expected 0 to 4'),
    ((3, 8, 8, 3), [-1, 0], 'cut', 'row 0: action: found -1'),
    ((3, 8, 8, 3), [0.5, 1.0], 'cut', 'actions: found float64'),
    ((3, 8, 8, 3), [0, 1], 'won', "end: found 'won'")])
def test_wrong_episodes_are_not_written(frames, actions, end, message, tmp_path):
    writer = FrameStoreWriter(tmp_path / 'game', 8, 8, maker={})
    with pytest.raises(DataError, match=message):
        writer.add_episode(np.zeros(frames, np.uint8), np.array(actions), end)
    with pytest.raises(DataError, match='frames: found none'):
        writer.add_episode(None, np.array([1]), 'cut')
    assert writer.num_episodes == 0


def test_nothing_is_overwritten(store):
    with pytest.raises(ConfigError, match='is there already'):
        FrameStoreWriter(store.path, 8, 8, maker={})
    with pytest.raises(ConfigError, match='expected positive numbers'):
        FrameStoreWriter(store.path / 'x', 0, 8, maker={})
