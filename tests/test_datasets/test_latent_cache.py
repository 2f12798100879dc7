import json
import pickle

import numpy as np
import pytest
import torch

from motionlab.codecs.frame_codecs import SpaceToDepth
from motionlab.codecs.frame_source import check_frame_source
from motionlab.datasets import latent_cache
from motionlab.datasets.frame_window_dataset import FrameWindowDataset
from motionlab.datasets.latent_cache import keep_latents, open_latent_cache, write_latent_cache
from motionlab.utils import ConfigError, DataError
from tests.frame_stores import write_frame_store


@pytest.fixture
def store(tmp_path):
    return write_frame_store(tmp_path / 'game', (40, 30), splits=('train', 'val'), noisy=True)


def test_windows_of_latents_are_latents_of_windows(store):
    codec = SpaceToDepth(4)
    cache = write_latent_cache(store, codec, batch_size=8)
    assert cache.latents.dtype == np.float16 and cache.latents.shape == (70, 48, 2, 2)
    assert cache.path.name == f'latents_{codec.content_hash()}.npy'
    train = codec.raw_latents(torch.from_numpy(store.frames[:40].copy())).numpy()
    np.testing.assert_allclose(cache.mean, train.mean((0, 2, 3)), atol=1e-3)
    np.testing.assert_allclose(cache.std, train.std((0, 2, 3)), atol=1e-3)
    both = FrameWindowDataset(store.path, num_history=2, num_targets=2, latents=cache.codec_hash)
    batch = both.__getitems__([3, 0, 20])
    torch.testing.assert_close(batch['history_latents'], codec.raw_latents(batch['history']), atol=1e-3, rtol=0)
    torch.testing.assert_close(batch['target_latents'], codec.raw_latents(batch['target']), atol=1e-3, rtol=0)
    alone = FrameWindowDataset(store.path, num_history=2, num_targets=2, latents='only', frames=False)
    assert 'target' not in alone[3] and torch.equal(alone[3]['target_latents'], batch['target_latents'][0])
    assert alone.metainfo['codec_hash'] == codec.content_hash()


def test_what_is_there_is_not_made_again(store, monkeypatch):
    codec = SpaceToDepth(4)
    write_latent_cache(store, codec)
    monkeypatch.setattr(codec, 'raw_latents', None)
    assert write_latent_cache(store, codec).codec_hash == codec.content_hash()


def test_an_interrupted_cache_goes_on(store, monkeypatch):
    whole = np.array(write_latent_cache(store, SpaceToDepth(4)).latents)
    (store.path / f'latents_{SpaceToDepth(4).content_hash()}.npy').unlink()
    monkeypatch.setattr(latent_cache, '_FLUSH', 2)
    codec, calls = SpaceToDepth(4), []
    raw = codec.raw_latents

    def dies(frames):
        calls.append(len(frames))
        if len(calls) == 6:
            raise KeyboardInterrupt
        return raw(frames)

    monkeypatch.setattr(codec, 'raw_latents', dies)
    with pytest.raises(KeyboardInterrupt):
        write_latent_cache(store, codec, batch_size=8)
    with pytest.raises(DataError, match='latents: found none'):
        open_latent_cache(store)
    calls.append(None)
    np.testing.assert_array_equal(write_latent_cache(store, codec, batch_size=8).latents, whole)
    assert len(calls) == 7 + 5  # 4 of 9 batches were kept.
    assert sorted(path.suffix for path in store.path.glob('latents*')) == ['.json', '.npy']


def test_latents_of_another_codec_are_refused(store):
    ours, other = SpaceToDepth(4), SpaceToDepth(2)
    write_latent_cache(store, other)
    found = other.content_hash()
    with pytest.raises(DataError, match=f'latents: found {found}, expected latents of the codec {ours.content_hash()}'):
        FrameWindowDataset(store.path, latents=ours.content_hash())
    data = FrameWindowDataset(store.path, latents='only')
    with pytest.raises(DataError, match=f'codec hash of the latents: found {found}, expected {ours.content_hash()}'):
        check_frame_source(ours, 3, 5, data.metainfo)
    check_frame_source(other, 3, 5, data.metainfo)
    write_latent_cache(store, ours)
    with pytest.raises(DataError, match='expected exactly one'):
        FrameWindowDataset(store.path, latents='only')
    cache = open_latent_cache(store, ours.content_hash())
    cache.path.rename(cache.path.with_name('latents_abc.npy'))
    cache.path.with_suffix('.json').rename(cache.path.with_name('latents_abc.json'))
    with pytest.raises(DataError, match=r'codec hash: found .*, expected abc.*renamed'):
        open_latent_cache(store, 'abc')
    with pytest.raises(ConfigError, match='letters and digits'):
        keep_latents(store, '../abc', np.zeros((70, 1, 1, 1)))


def test_latents_of_other_frames_are_refused(store, tmp_path):
    cache = write_latent_cache(store, SpaceToDepth(4))
    other = write_frame_store(tmp_path / 'other', (40, 30), splits=('train', 'val'), noisy=True, seed=1)
    for path in (cache.path, cache.path.with_suffix('.json')):
        (other.path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(DataError, match='frames_sha256: found latents of other frames'):
        open_latent_cache(other)


@pytest.mark.parametrize(('change', 'message'), [
    (lambda about: about | {'shape': [70, 48, 2, 3]}, 'array: found float16'),
    (lambda about: about | {'mean': [0.0]}, 'mean: found 1 values, expected 48 finite numbers'),
    (lambda about: {'codec_hash': 'x'}, 'content: found no shape'), (lambda about: 3, 'content')])
def test_damaged_descriptions_are_refused(change, message, store):
    path = write_latent_cache(store, SpaceToDepth(4)).path.with_suffix('.json')
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(DataError, match=message):
        open_latent_cache(store)


def test_fewer_latents_than_frames_are_refused(store):
    cache = write_latent_cache(store, SpaceToDepth(4))
    about = json.loads(cache.path.with_suffix('.json').read_text())
    np.save(cache.path, np.array(cache.latents[:-1]))
    cache.path.with_suffix('.json').write_text(json.dumps(about | {'shape': [69, 48, 2, 2]}))
    with pytest.raises(DataError, match='latents: found 69 for 70 frames, expected one per frame'):
        open_latent_cache(store)
    with pytest.raises(DataError, match='found 69 for 70 frames'):
        keep_latents(store, 'abc', np.zeros((69, 4, 2, 2)))


def test_latents_that_are_not_finite_are_named(store, monkeypatch):
    codec = SpaceToDepth(4)
    raw = codec.raw_latents

    def overflows(frames):
        latents = raw(frames)
        latents[2, 0, 0, 0] = 1e6
        return latents

    with monkeypatch.context() as patch:
        patch.setattr(codec, 'raw_latents', overflows)
        with pytest.raises(DataError, match=r'row 2: found latents that are NaN, infinite, or beyond float16'):
            write_latent_cache(store, codec)
    cache = write_latent_cache(store, codec)
    latents = np.array(cache.latents)
    latents[7, 3] = np.nan
    np.save(cache.path, latents)
    data = FrameWindowDataset(store.path, latents='only', num_history=2)
    data.__getitems__([0, 1, 2, 10])
    with pytest.raises(DataError, match='row 7: found NaN or infinity'):
        data.__getitems__([0, 1, 6])


def test_frames_the_codec_cannot_divide_are_refused(tmp_path):
    store = write_frame_store(tmp_path / 'game', (5,), size=(10, 12))
    with pytest.raises(DataError, match=r'10 x 12 px, expected multiples of 8 px\. The nearest valid size is 8 x 16'):
        write_latent_cache(store, SpaceToDepth(8))
    data = FrameWindowDataset(store.path)
    with pytest.raises(DataError, match='game_train: height and width: found 10 x 12 px'):
        check_frame_source(SpaceToDepth(8), 3, 5, data.metainfo)
    check_frame_source(SpaceToDepth(2), 3, 5, data.metainfo)
    with pytest.raises(ConfigError, match='num_history=3, the model looks back 4'):
        check_frame_source(SpaceToDepth(2), 4, 5, data.metainfo)
    with pytest.raises(ConfigError, match='the model knows 4'):
        check_frame_source(SpaceToDepth(2), 3, 4, data.metainfo)


def test_only_the_path_travels_to_other_processes(store):
    data = FrameWindowDataset(store.path, num_history=2, latents=write_latent_cache(store, SpaceToDepth(4)).codec_hash)
    sent = pickle.dumps(data.cache)
    assert len(sent) < 300 < data.cache.latents.nbytes
    np.testing.assert_array_equal(pickle.loads(sent).latents, data.cache.latents)
    assert pickle.loads(pickle.dumps(data))[3]['history_latents'].equal(data[3]['history_latents'])


@pytest.mark.parametrize(('changes', 'message'), [
    (dict(shape=3), 'array: found float16'), (dict(mean=1.0), r'mean: found 1\.0'), (dict(mean=['x'] * 48), 'mean'),
    (dict(std=[float('nan')] * 48), 'std: found 48 values, expected 48 finite'), (dict(std={}), 'std'),
    ('codec_hash shape mean std frames_sha256', 'content: found no codec_hash')])
def test_a_hostile_description_is_an_error_of_data(changes, message, store):
    path = write_latent_cache(store, SpaceToDepth(4)).path.with_suffix('.json')
    path.write_text(json.dumps(changes if isinstance(changes, str) else json.loads(path.read_text()) | changes))
    with pytest.raises(DataError, match=message):
        open_latent_cache(store)


@pytest.mark.parametrize(('progress', 'shape'), [
    ('', None), ('20', None), ('20', (10, 48, 2, 2)), ('99', (70, 48, 2, 2)), ('-5', (70, 48, 2, 2))])
def test_a_damaged_rest_is_not_gone_on_with(progress, shape, store, tmp_path):
    codec = SpaceToDepth(4)
    part = store.path / f'latents_{codec.content_hash()}.npy.part'
    part.write_bytes(b'')
    if shape is not None:
        np.lib.format.open_memmap(part, 'w+', np.float16, shape).flush()
    part.with_suffix('').with_suffix('.progress').write_text(progress)
    cache = write_latent_cache(store, codec)
    raw = codec.raw_latents(torch.from_numpy(np.array(store.frames)))
    np.testing.assert_array_equal(cache.latents, raw.half().numpy())
    assert not list(store.path.glob('*.part')) and not list(store.path.glob('*.progress'))


def test_batches_of_nothing_are_refused(store):
    with pytest.raises(ConfigError, match='batch_size=0'):
        write_latent_cache(store, SpaceToDepth(4), batch_size=0)
