import numpy as np
import pytest
import torch
from PIL import Image

from motionlab.codecs.frame_codecs import SpaceToDepth
from motionlab.datasets.frame_window_dataset import FrameWindowDataset
from motionlab.datasets.importers import frames_import
from motionlab.datasets.importers.frames_episodes import parse_action_map, square
from motionlab.datasets.importers.frames_import import FrameImport, check_frames, import_frames, import_latents
from motionlab.utils import ConfigError, DataError
from tests.frame_sources import (
    LENGTHS,
    episodes,
    write_diamond,
    write_images,
    write_latents,
    write_parquet,
    write_videos,
)

SHARES = dict(val=0.0, test=0.0)
ENDS = {'parquet-fork': [1, 1], 'images': [0, 0], 'diamond': [1, 2], 'video': [0, 0]}


def write_source(name, folder):
    if name == 'parquet-fork':
        pytest.importorskip('pyarrow')
        return write_parquet(folder / 'table.parquet')
    return {'images': write_images, 'diamond': write_diamond, 'video': write_videos}[name](folder / 'source')


def job_for(name, src, **options):
    upright = dict(expected_size=(8, 12)) if name == 'parquet-fork' else {}
    return FrameImport(name, src, **{**SHARES, **upright, **options})


@pytest.mark.parametrize('name', ENDS)
def test_every_format_gives_the_same_store(name, tmp_path):
    job = job_for(name, write_source(name, tmp_path))
    dry = check_frames(job)
    assert not (tmp_path / 'out').exists() and list(tmp_path.glob('.*')) == []
    store, report = import_frames(job, tmp_path / 'out')
    assert (dry.frames, dry.frame_size, dry.actions, dry.names) == (report.frames, report.frame_size, report.actions,
                                                                    report.names)
    assert report.frames == list(LENGTHS) and store.frame_size == (8, 12) and report.num_bytes == 10 * 8 * 12 * 3
    assert store.end.tolist() == ENDS[name]
    for number, (frames, actions) in enumerate(episodes()):
        np.testing.assert_array_equal(store.frames[store.episode(number)], frames)
        assert store.actions[store.episode(number)].tolist() == [*actions, 255]
    assert store.meta['fps'] == (10 if name == 'video' else 15)
    assert store.meta['maker']['format'] == name and store.meta['episodes'][1]['name'] == report.names[1]
    assert len(FrameWindowDataset(store.path, num_history=3)) == 3 + 1


def test_tables_without_the_frame_after_lose_it_and_say_so(tmp_path):
    pytest.importorskip('pyarrow')
    src = write_parquet(tmp_path / 'table.parquet', after=False, arrays=True)
    store, report = import_frames(job_for('parquet-fork', src), tmp_path / 'out')
    assert report.frames == list(LENGTHS) and report.counts == {'actions on the last frame of an episode': 2}
    assert store.meta['counts'] == report.counts and store.end.tolist() == [0, 0]
    np.testing.assert_array_equal(store.frames[:6], episodes()[0][0])


def test_jumps_between_rows_are_counted(tmp_path):
    pytest.importorskip('pyarrow')
    src = write_parquet(tmp_path / 'table.parquet', episode_ids=[0, 0, 0, 0, 0, 0, 0, 0], done_at=[7])
    report = check_frames(job_for('parquet-fork', src))
    assert report.counts == {'rows whose next_frame_image is not the frame of the next row': 1}
    assert report.frames == [9]


def test_tables_in_pieces_are_one_table(tmp_path):
    pa = pytest.importorskip('pyarrow')
    import pyarrow.parquet as pq
    table = pq.read_table(write_parquet(tmp_path / 'table.parquet'))
    (tmp_path / 'parts').mkdir()
    for number, (start, stop) in enumerate([(0, 3), (3, 7), (7, 8)]):
        pq.write_table(table.slice(start, stop - start), tmp_path / f'parts/train-{number}.parquet')
    whole = import_frames(job_for('parquet-fork', tmp_path / 'table.parquet'), tmp_path / 'a')[0]
    parts = import_frames(job_for('parquet-fork', tmp_path / 'parts'), tmp_path / 'b')[0]
    assert whole.meta['sha256'] == parts.meta['sha256'] and pa


def test_actions_that_led_to_their_frame(tmp_path):
    src = write_images(tmp_path / 'source')
    for number, (_, actions) in enumerate(episodes()):
        (src / str(number) / 'actions.txt').write_text('4\n' + '\n'.join(map(str, actions)))
    store, report = import_frames(job_for('images', src, actions_lead_to='own'), tmp_path / 'out')
    assert store.actions.tolist() == [*episodes()[0][1], 255, *episodes()[1][1], 255]
    assert report.counts == {'actions that lead to the first frame of an episode': 2}


def test_actions_beside_the_only_folder(tmp_path):
    src = write_images(tmp_path / 'source')
    (src / '0').rename(tmp_path / 'snapshots')
    (tmp_path / 'snapshots' / 'actions.txt').rename(tmp_path / 'actions')
    import shutil
    shutil.rmtree(src)
    assert check_frames(job_for('images', tmp_path)).frames == [6]
    with pytest.raises(DataError, match=r'actions: found no such file, expected actions\.txt'):
        check_frames(job_for('images', tmp_path / 'snapshots'))


def test_own_numbers_of_actions(tmp_path):
    src = write_images(tmp_path / 'source')
    mapping = parse_action_map('ale', 5)
    store, report = import_frames(job_for('images', src, action_map=mapping), tmp_path / 'ale')
    assert store.actions[:5].tolist() == [4, 2, 1, 0, 3] and sum(report.actions.values()) == 8
    names = ('STAY', 'JUMP', 'DUCK', 'A', 'B')
    store, _ = import_frames(job_for('images', src, action_names=names), tmp_path / 'named')
    assert store.meta['action_names'] == list(names)
    with pytest.raises(ConfigError, match='expected one called NO_ACTION'):
        FrameWindowDataset(store.path, pad=True)
    for text in ('4,2', '0,1,x', '5', ''):
        if text == '4,2':
            with pytest.raises(DataError, match=r'episode 0, row 2: action: found 2, expected 0 to 1'):
                check_frames(job_for('images', src, action_map=parse_action_map(text, 5)))
        else:
            with pytest.raises(ConfigError, match='--action-map'):
                parse_action_map(text, 5)


def test_frames_are_squared_then_resized_then_turned(tmp_path):
    picture = np.zeros((5, 8, 3), np.uint8)
    picture[:] = 200
    whole = square(picture, 8)
    assert whole[:1].max() == 0 and whole[-2:].max() == 0 and whole[1:6].min() == 200  # The odd row is at the bottom.
    expected = Image.fromarray(whole).resize((4, 4), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(square(picture, 4), np.asarray(expected))
    src = write_images(tmp_path / 'source')
    store, _ = import_frames(job_for('images', src, size=6, transpose=True), tmp_path / 'out')
    np.testing.assert_array_equal(store.frames[3], square(episodes()[0][0][3], 6).transpose(1, 0, 2))


def test_an_interrupted_import_goes_on(tmp_path, monkeypatch):
    src = write_images(tmp_path / 'source')
    whole = import_frames(job_for('images', src), tmp_path / 'whole')[0]
    read, seen = frames_import.PictureShape.frames, []

    def fails_at_the_second(self, episode):
        seen.append(episode.name)
        if episode.name == '1' and len(seen) == 2:
            raise KeyboardInterrupt
        return read(self, episode)

    monkeypatch.setattr(frames_import.PictureShape, 'frames', fails_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        import_frames(job_for('images', src), tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
    store, report = import_frames(job_for('images', src), tmp_path / 'out')
    assert report.frames == list(LENGTHS) and store.meta['sha256'] == whole.meta['sha256']
    assert not list(tmp_path.glob('.*'))
    with pytest.raises(ConfigError, match='out: is there already'):
        import_frames(job_for('images', src), tmp_path / 'out')


def test_splits_follow_the_seed(tmp_path):
    job = job_for('images', tmp_path, val=0.1, test=0.2)
    splits = frames_import.split_episodes(20, job)
    assert [len(splits[name]) for name in ('train', 'val', 'test')] == [14, 2, 4]
    assert sorted([*splits['train'], *splits['val'], *splits['test']]) == list(range(20))
    assert frames_import.split_episodes(20, job) == splits
    assert frames_import.split_episodes(20, job_for('images', tmp_path, val=0.1, test=0.2, seed=1)) != splits
    assert frames_import.split_episodes(1, job) == {'train': [0]}


def latent_codec(factor=4):
    codec = SpaceToDepth(factor)
    codec.latent_channels = 4
    return codec


def test_latents_go_beside_their_frames_or_stand_alone(tmp_path):
    path, codec = write_latents(tmp_path / 'latents.pt'), latent_codec()
    job = FrameImport('latents-pt', path, **SHARES)
    import_frames(job_for('images', write_images(tmp_path / 'source')), tmp_path / 'out')
    cache, report = import_latents(job, tmp_path / 'out', codec)
    both = FrameWindowDataset(tmp_path / 'out', num_history=2, latents=codec.content_hash())
    alone_cache, _ = import_latents(job, tmp_path / 'alone', codec)
    alone = FrameWindowDataset(tmp_path / 'alone', num_history=2, latents='only', frames=False)
    assert alone.store.frames is None and alone.store.frame_size == (8, 12) and report.frames == list(LENGTHS)
    a, b = both.__getitems__(range(len(both))), alone.__getitems__(range(len(alone)))
    assert len(both) == len(alone) == 4 + 2 and set(a) - set(b) == {'history', 'target'}
    for key in b:
        torch.testing.assert_close(a[key], b[key], rtol=0, atol=0)
    assert b['target_latents'][0].flatten()[0] == 2 * 24 and b['target_latents'].dtype == torch.float32
    np.testing.assert_array_equal(cache.mean, alone_cache.mean)
    with pytest.raises(ConfigError, match=r'latents only\. Set frames=False'):
        FrameWindowDataset(tmp_path / 'alone', latents='only')


@pytest.mark.parametrize(('options', 'message'), [
    (dict(format='zip'), 'format'), (dict(actions_lead_to='both'), 'actions_lead_to'), (dict(val=0.6, test=0.5), 'val'),
    (dict(size=0), 'size'), (dict(fps=0.0), 'fps')])
def test_options_are_checked(options, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        FrameImport(**{'format': 'images', 'src': tmp_path, **options})


@pytest.mark.parametrize('name', [*ENDS, 'latents-pt'])
def test_nothing_there_is_said(name, tmp_path):
    if name == 'parquet-fork':
        pytest.importorskip('pyarrow')
    with pytest.raises(DataError, match='nothing at this path'):
        check_frames(FrameImport(name, tmp_path / 'absent'))
    (tmp_path / 'empty').mkdir()
    with pytest.raises(DataError, match='found n'):
        check_frames(FrameImport(name, tmp_path / 'empty'))


def test_damaged_files_are_named(tmp_path):
    images = write_images(tmp_path / 'images')
    (images / '1/2.png').write_bytes(b'no picture')
    with pytest.raises(DataError, match=r'1/2\.png: file: frame'):
        check_frames(job_for('images', images))
    (images / '0/actions.txt').write_text('1\nup\n')
    with pytest.raises(DataError, match=r"actions\.txt: line 2: action: found 'up'"):
        check_frames(job_for('images', images))
    diamond = write_diamond(tmp_path / 'diamond')
    (diamond / 'episode_1.pt').write_bytes(b'no tensors')
    with pytest.raises(DataError, match=r'episode_1\.pt: file'):
        check_frames(job_for('diamond', diamond))
    pytest.importorskip('pyarrow')
    (tmp_path / 'table.parquet').write_bytes(b'no table')
    with pytest.raises(DataError, match=r'table\.parquet: table'):
        check_frames(job_for('parquet-fork', tmp_path / 'table.parquet'))


@pytest.mark.parametrize(('changes', 'message'), [
    (dict(act=lambda act: act[:-1]), 'frames and act: found 5 frames, act of shape'),
    (dict(end=lambda end: end.roll(1)), 'row 0: end, trunc: found set, and 4 frames follow'),
    (dict(obs=lambda obs: obs.float()), 'obs: found torch.float32'),
    (dict(info=lambda info: {'final_observation': info['final_observation'][:, :4]}), 'final_observation')])
def test_malformed_diamond_episodes_are_refused(changes, message, tmp_path):
    with pytest.raises(DataError, match=message):
        check_frames(job_for('diamond', write_diamond(tmp_path / 'source', changes)))


def test_pickled_objects_are_never_read(tmp_path):
    path = write_latents(tmp_path / 'latents.pt', {'episodes': lambda _: Image.new('L', (2, 2))})
    with pytest.raises(DataError, match='Other objects are never unpickled'):
        check_frames(FrameImport('latents-pt', path))


@pytest.mark.parametrize('line', ['--5', '9' * 30, '9' * 5000, '٣'])
def test_lines_that_are_no_action_are_named(line, tmp_path):
    src = write_images(tmp_path / 'source')
    (src / '0/actions.txt').write_text(f'0\n{line}\n2\n3\n4\n', encoding='utf-8')
    with pytest.raises(DataError, match=r'actions\.txt: line 2: action: found .{1,50}, expected one whole number'):
        check_frames(job_for('images', src))


@pytest.mark.parametrize(('changes', 'message'), [
    (dict(actions=lambda actions: [2 ** 70, *actions[1:]]), 'row 0: action: found 11805'),
    (dict(latents=lambda latents: latents.float().to_sparse()), 'latents: found')])
def test_hostile_latents_are_refused(changes, message, tmp_path):
    with pytest.raises(DataError, match=message):
        check_frames(FrameImport('latents-pt', write_latents(tmp_path / 'latents.pt', changes)))


@pytest.mark.parametrize('change', [lambda z: z.bfloat16(), lambda z: z.float().requires_grad_()])
def test_latents_of_any_precision(change, tmp_path):
    path, codec = write_latents(tmp_path / 'latents.pt', dict(latents=change)), latent_codec()
    cache, _ = import_latents(FrameImport('latents-pt', path, **SHARES), tmp_path / 'out', codec)
    assert cache.latents[2].flatten()[5] == 2 * 24 + 5


@pytest.mark.parametrize(('changes', 'message'), [
    (dict(obs=lambda obs: torch.tensor(3, dtype=torch.uint8)), 'obs: found torch.uint8 of shape'),
    (dict(act=lambda act: act.bfloat16()), r'episode_0: actions: found torch\.bfloat16'),
    (dict(info=lambda info: {'final_observation': info['final_observation'] * torch.nan}), 'found nan to nan'),
    (dict(info=lambda info: {'final_observation': info['final_observation'] * 127.5 + 127.5}), 'expected -1 to 1')])
def test_hostile_diamond_episodes_are_refused(changes, message, tmp_path):
    with pytest.raises(DataError, match=message):
        check_frames(job_for('diamond', write_diamond(tmp_path / 'source', changes)))


def test_actions_of_tables_beyond_any_number_are_named(tmp_path):
    pa = pytest.importorskip('pyarrow')
    import pyarrow.parquet as pq
    src = write_parquet(tmp_path / 'table.parquet')
    actions = pa.array([0] * 7 + [2 ** 63 + 5], pa.uint64())
    pq.write_table(pq.read_table(src).set_column(2, 'action', actions), src)
    with pytest.raises(DataError, match='episode 1, row 7: action: found 9223372036854775813'):
        check_frames(job_for('parquet-fork', src))
