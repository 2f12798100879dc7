import json

import numpy as np
import pytest
import torch
from PIL import Image

from motionlab.codecs.frame_codecs import SpaceToDepth
from motionlab.codecs.frame_source import check_frame_source
from motionlab.datasets import frame_window_dataset
from motionlab.datasets.frame_store import open_frame_store
from motionlab.datasets.frame_window_dataset import FrameWindowDataset
from motionlab.datasets.importers import frames_import
from motionlab.datasets.importers.frames_import import FrameImport, check_frames, import_frames, import_latents
from motionlab.datasets.latent_cache import write_latent_cache
from motionlab.utils import DataError
from tests.frame_sources import write_images, write_latents, write_parquet
from tests.frame_stores import write_frame_store


class Recording:
    """A folder of pictures, well formed until a test changes it."""

    def __init__(self, folder):
        self.folder = write_images(folder / 'images')

    def check(self, **options):
        return check_frames(FrameImport('images', self.folder, **options))

    def change_picture(self, change, name='1/2.png'):
        array = np.asarray(Image.open(self.folder / name))
        Image.fromarray(change(array)).save(self.folder / name)


@pytest.fixture
def recording(tmp_path):
    return Recording(tmp_path)


def refuses(function, file, *parts):
    """``function`` raises one DataError whose file ends in ``file`` and whose message has all ``parts``."""
    with pytest.raises(DataError) as caught:
        function()
    assert str(caught.value.file).endswith(file), caught.value.file
    assert all(part in str(caught.value) for part in parts), str(caught.value)


def test_pacman_15_frame_and_action_counts(recording, tmp_path):
    actions = recording.folder / '1/actions.txt'
    actions.write_text('\n'.join('1' * 7))
    refuses(recording.check, 'images/1', 'episode 1', 'frames and actions', 'found 4 frames, 7 actions',
            'expected 4 or 3 actions')
    store = write_frame_store(tmp_path / 'game')
    np.save(store.path / 'frames.npy', store.frames[:-2])
    refuses(lambda: open_frame_store(store.path), 'frames.npy', 'frames: found 13, expected 15, one per action')


def test_pacman_15_actions_out_of_range(recording, tmp_path):
    (recording.folder / '0/actions.txt').write_text('0\n1\n7\n3\n4\n')
    refuses(recording.check, 'images/0', 'episode 0, row 2: action: found 7, expected 0 to 4')
    table = lambda: check_frames(FrameImport('parquet-fork', path, expected_size=(8, 12)))  # noqa: E731
    pytest.importorskip('pyarrow')
    import pyarrow as pa
    import pyarrow.parquet as pq
    path = write_parquet(tmp_path / 'table.parquet')
    whole = pq.read_table(path)
    pq.write_table(whole.set_column(2, 'action', pa.array([0, 1, 2, 3, 4, 0, -1, 2])), path)
    refuses(table, 'table.parquet', 'episode 1, row 6: action: found -1, expected 0 to 4')


def test_pacman_15_frame_size_or_channels_change(recording):
    recording.change_picture(lambda a: np.pad(a, ((0, 1), (0, 0), (0, 0))))
    refuses(recording.check, 'images/1', 'episode 1, row 2: frame size: found 9 high, 12 wide, 3 channels, expected '
            '8 high, 12 wide, 3 channels')
    recording.change_picture(lambda a: a[:8, :, 0])
    refuses(recording.check, 'images/1', 'row 2: frame size: found 8 high, 12 wide, 1 channels, expected')


@pytest.mark.parametrize('kind', ['parquet-fork', 'latents-pt'])
def test_pacman_15_episode_ids_return(kind, tmp_path):
    if kind == 'parquet-fork':
        pytest.importorskip('pyarrow')
        src = write_parquet(tmp_path / 'source', episode_ids=[0, 0, 1, 1, 1, 0, 0, 0], done_at=())
        row = 5
    else:
        src = write_latents(tmp_path / 'source', {'episodes': lambda _: [5, 5, 5, 2, 2, 2, 2, 5, 5, 5],
                                                  'dones': lambda _: [False] * 10})
        row = 7
    refuses(lambda: check_frames(FrameImport(kind, src, expected_size=(8, 12))), 'source', f'row {row}: episode: found',
            f'which ended in row {1 if kind == "parquet-fork" else 2}', 'expected the rows of an episode to follow')


@pytest.mark.parametrize('kind', ['parquet-fork', 'latents-pt'])
def test_pacman_15_done_inside_an_episode(kind, tmp_path):
    if kind == 'parquet-fork':
        pytest.importorskip('pyarrow')
        src = write_parquet(tmp_path / 'source', done_at=(2, 4, 7))
    else:
        src = write_latents(tmp_path / 'source', {'dones': lambda dones: [*dones[:2], True, *dones[3:]]})
    refuses(lambda: check_frames(FrameImport(kind, src, expected_size=(8, 12))), 'source', 'episode 0, row 3: done: '
            'found true in row 2, and the episode goes on', 'expected done in the last row of an episode only')


def test_pacman_15_fewer_latents_than_frames(recording, tmp_path):
    src = write_latents(tmp_path / 'latents.pt', {'latents': lambda latents: latents[:-1]})
    refuses(lambda: check_frames(FrameImport('latents-pt', src)), 'latents.pt', 'found 9 latents, 10 rows of episodes, '
            'expected one latent per row')
    import_frames(FrameImport('images', recording.folder), tmp_path / 'out')
    whole = {'latents': lambda latents: latents[:-1], 'episodes': lambda rows: rows[:-1],
             'actions': lambda rows: rows[:-1], 'dones': lambda rows: rows[:-1]}
    src, codec = write_latents(tmp_path / 'latents.pt', whole), SpaceToDepth(4)
    codec.latent_channels = 4
    refuses(lambda: import_latents(FrameImport('latents-pt', src), tmp_path / 'out', codec), 'latents.pt',
            'latents: found 9 for the 10 frames', 'expected one per frame')


def test_pacman_15_latents_that_are_not_finite(tmp_path):
    def spoil(latents):
        latents[8, 1, 0, 0] = torch.inf
        return latents

    src = write_latents(tmp_path / 'latents.pt', {'latents': spoil})
    refuses(lambda: check_frames(FrameImport('latents-pt', src)), 'latents.pt', 'episode 1, row 8: latents: found NaN '
            'or infinity, expected finite numbers')
    store = write_frame_store(tmp_path / 'game')
    cache = write_latent_cache(store, SpaceToDepth(4))
    latents = np.array(cache.latents)
    latents[5] = np.nan
    np.save(cache.path, latents)
    refuses(lambda: FrameWindowDataset(store.path, latents='only')[3], cache.path.name, 'row 5: found NaN or infinity')


def test_pacman_15_codec_hash_mismatch(tmp_path):
    store = write_frame_store(tmp_path / 'game')
    there, wanted = SpaceToDepth(2), SpaceToDepth(4)
    write_latent_cache(store, there)
    hashes = (f'found {there.content_hash()}', wanted.content_hash())
    refuses(lambda: FrameWindowDataset(store.path, latents=wanted.content_hash()), 'game', 'latents', *hashes)
    data = FrameWindowDataset(store.path, latents='only')
    refuses(lambda: check_frame_source(wanted, 3, 5, data.metainfo), 'game_train', 'codec hash', *hashes)


def test_pacman_15_sides_the_codec_cannot_divide(tmp_path):
    store = write_frame_store(tmp_path / 'game', size=(20, 24))
    said = ('found 20 x 24 px', 'expected multiples of 16 px', 'nearest valid size is 16 x 32')
    refuses(lambda: write_latent_cache(store, SpaceToDepth(16)), 'frames.npy', *said)
    refuses(lambda: check_frame_source(SpaceToDepth(16), 3, 5, FrameWindowDataset(store.path).metainfo), 'game_train',
            *said)


def test_pacman_15_width_and_height_swapped(recording, tmp_path):
    store = write_frame_store(tmp_path / 'game', size=(8, 12))
    meta = json.loads((store.path / 'meta.json').read_text())
    (store.path / 'meta.json').write_text(json.dumps(meta | {'height': 12, 'width': 8}))
    refuses(lambda: open_frame_store(store.path), 'frames.npy', 'frame size: found 8 high, 12 wide, expected 12 high, '
            '8 wide', 'Width and height are swapped')
    refuses(lambda: recording.check(expected_size=(12, 8)), 'images/0', 'episode 0, row 0: frame size: found 8 high, '
            '12 wide, expected 12 high, 8 wide', 'swapped', '--transpose')
    recording.check(expected_size=(12, 8), transpose=True)


def test_pacman_15_counts_are_logged(recording, tmp_path, monkeypatch):
    """Every malformed case of 2.5 gives the named error; counts are logged."""
    lines = []
    for module in (frames_import, frame_window_dataset):
        monkeypatch.setattr(module, 'print_log', lambda line, *_: lines.append(line))
    (recording.folder / '0/actions.txt').write_text('0\n1\n2\n3\n4\n4\n')
    store, report = import_frames(FrameImport('images', recording.folder, num_history=4, val=0, test=0),
                                  tmp_path / 'out')
    FrameWindowDataset(store.path, num_history=4)
    told = '\n'.join(lines)
    assert 'images: 2 episodes, 10 frames' in told
    assert 'images: actions on the last frame of an episode: 1' in told
    assert 'images: 1 episodes shorter than 5 frames, of no use with a history of 4: 1' in told
    assert 'out: split train: 1 episodes shorter than 5 frames left out: 1' in told
    assert report.short == ['1'] and store.meta['counts'] == {'actions on the last frame of an episode': 1}
