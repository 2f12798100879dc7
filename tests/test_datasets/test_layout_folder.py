import json

import numpy as np
import pytest
import torch

from motionlab.codecs.layout_batch import check_layout_batch
from motionlab.datasets import layout_folder
from motionlab.datasets.layout_caption import check_box, depth_label
from motionlab.datasets.layout_dataset import LayoutImageDataset
from motionlab.datasets.layout_files import LayoutPaths, write_json, write_layout_image
from motionlab.datasets.layout_folder import check_layout_folder, open_layout_folder
from motionlab.datasets.layout_meta import META, UPSTREAM_META, make_layout_meta, read_layout_meta
from motionlab.utils import ConfigError, DataError
from tests.layout_folders import DIMS, VAE, make_image, unit, write_layout_folder


@pytest.fixture
def folder(tmp_path):
    return write_layout_folder(tmp_path / 'data', [2, 1, 0, 3])


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_whole_folder(folder):
    found = open_layout_folder(folder)
    assert found.names == ('img_000', 'img_001', 'img_002', 'img_003') and not found.problems
    assert found.latent_sizes['img_003'] == (4, 4) and found.meta['dims'] == DIMS
    image = found.images['img_003']
    assert image.to_json() == json.loads(found.paths.caption('img_003').read_text())
    assert image.object_ids.tolist() == [0, 2, 4]


def test_names_are_sorted_with_their_suffix(folder):
    for old, new in (('img_000', 'b'), ('img_001', 'b-2')):
        for path in (*folder.rglob(f'{old}.*'), *folder.rglob(f'{old}_obj*')):
            path.rename(path.with_name(path.name.replace(old, new)))
        edit(LayoutPaths(folder).caption(new), lambda c, new=new: c.update(image_id=new))
    assert open_layout_folder(folder).names == ('b-2', 'b', 'img_002', 'img_003')


CAPTION = {
    'objects[0].bbox: ': [
        lambda c: c['objects'][0].update(bbox=[0.1, 0.2, 0.3]),
        lambda c: c['objects'][0].update(bbox=[0.1, 0.2, float('nan'), 0.5]),
        lambda c: c['objects'][0].update(bbox=[0.1, 0.2, True, 0.5]),
        lambda c: c['objects'][0].update(bbox=[0.1, 0.2, 10 ** 400, 0.5]),
        lambda c: c['objects'][0].update(bbox=[-0.002, 0.2, 0.3, 0.5]),
        lambda c: c['objects'][0].update(bbox=[10, 20, 300, 500]),
        lambda c: c['objects'][0].update(bbox=[0.3, 0.2, 0.3, 0.5]),
        lambda c: c['objects'][0].update(bbox=[0.1, 0.6, 0.3, 0.5]),
        lambda c: c['objects'][0].update(bbox=[1.0, 0.6, 1.0005, 0.8]),
    ],
    'objects[0].depth_label: ': [lambda c: c['objects'][0].update(depth_label='near'),
                                 lambda c: c['objects'][0].pop('depth_label')],
    'objects[1].object_id: ': [lambda c: c['objects'][1].update(object_id=0),
                               lambda c: c['objects'][1].update(object_id='1')],
    'objects: ': [lambda c: c.pop('objects'), lambda c: c.update(objects={})],
    'width: ': [lambda c: c.update(width=0), lambda c: c.update(width=None), lambda c: c.pop('width')],
    'height: ': [lambda c: c.update(height=-3), lambda c: c.update(height=4.5)],
    'global_caption: ': [lambda c: c.pop('global_caption'), lambda c: c.update(global_caption=7)],
    'image_id: ': [lambda c: c.update(image_id='img_009'), lambda c: c.update(image_id='../x')],
}


@pytest.mark.parametrize(('field', 'change'), [(field, change) for field, changes in CAPTION.items()
                                               for change in changes])
def test_bad_caption_is_named(folder, field, change):
    path = LayoutPaths(folder).caption('img_000')
    edit(path, change)
    with pytest.raises(DataError) as caught:
        open_layout_folder(folder)
    assert str(caught.value).startswith(f'{path}: {field}')
    assert '1 of 4 images are bad' in str(caught.value)


@pytest.mark.parametrize('content', ['', '{', '[]', b'\xff\xfe'])
def test_unreadable_caption_is_named(folder, content):
    path = LayoutPaths(folder).caption('img_001')
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=r'img_001.json: content'):
        open_layout_folder(folder)


def save(value):
    return lambda path: torch.save(value, path)


LATENTS = [
    (lambda path: path.unlink(), 'file: found nothing'),
    (lambda path: path.write_bytes(b'PK' + b'x' * 50), 'content'),
    (lambda path: path.write_bytes(path.read_bytes()[:-40]), 'content'),
    (save({'latents': 1}), 'content: found dict'),
    (save(torch.zeros(1, 4, 8, 8)), r'shape: found \(1, 4, 8, 8\)'),
    (save(torch.zeros(2, 16, 8, 8)), r'shape: found \(2, 16, 8, 8\)'),
    (save(torch.zeros(16, 7, 8)), r'shape: found \(16, 7, 8\)'),
    (save(torch.zeros(16, 8, 8, dtype=torch.int32)), 'content'),
    (save(torch.full((16, 4, 4), torch.nan)), 'latents: found NaN'),
    (save(torch.full((16, 4, 4), torch.inf)), 'latents: found NaN'),
]


@pytest.mark.parametrize(('change', 'message'), LATENTS)
def test_bad_latents_are_named(folder, change, message):
    change(LayoutPaths(folder).latents('img_003'))
    with pytest.raises(DataError, match=f'img_003.pt: {message}'):
        open_layout_folder(folder)


def test_missing_caption_is_named(folder):
    LayoutPaths(folder).caption('img_001').unlink()
    with pytest.raises(DataError, match=r'captions/img_001.json: file: found nothing at this path'):
        open_layout_folder(folder)
    assert open_layout_folder(folder, on_bad='skip').names == ('img_000', 'img_002', 'img_003')


def test_flipped_bit_is_found(folder):
    path = LayoutPaths(folder).latents('img_003')
    content = bytearray(path.read_bytes())
    place = content.find(np.float32(3).tobytes() * 8)
    content[place + 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r'img_003.pt: content: found a wrong checksum'):
        open_layout_folder(folder)


@pytest.mark.parametrize(('change', 'message'), [
    (lambda path: path.unlink(), 'file: found nothing'),
    (lambda path: path.write_bytes(b'nothing'), 'content'),
    (lambda path: np.save(path, np.ones(7, np.float32) / 7**0.5), r'array: found shape \(7,\).*expected \(6,\)'),
    (lambda path: np.save(path, np.ones((1, 6), np.float32) / 6**0.5), r'array: found shape \(1, 6\)'),
    (lambda path: np.save(path, np.ones(6, np.int64)), 'array: found shape'),
    (lambda path: np.save(path, np.array([np.nan] * 6, np.float32)), 'array: found NaN'),
    (lambda path: np.save(path, np.zeros(6, np.float16)), 'array: found length 0'),
    (lambda path: np.save(path, np.array([{}] * 6)), 'content'),
])
def test_bad_embedding_is_named(folder, change, message):
    change(LayoutPaths(folder).clip('img_003', 2))
    with pytest.raises(DataError, match=f'clip_cropped_boxes/img_003_obj2.npy: {message}'):
        open_layout_folder(folder)


@pytest.mark.parametrize(('change', 'message'), [
    (lambda path: path.unlink(), 'file: found nothing'),
    (save(torch.zeros(3)), 'content: found Tensor'),
    (save({'pooled_embeddings': torch.zeros(1, 3)}), 'text_embeddings: found nothing'),
    (save({'text_embeddings': torch.zeros(1, 4, 5), 'pooled_embeddings': None}), 'pooled_embeddings: found NoneType'),
    (save({'text_embeddings': torch.zeros(1, 3, 5), 'pooled_embeddings': torch.zeros(1, 3)}),
     r'text_embeddings: found shape \(1, 3, 5\), expected \(1, 4, 5\)'),
    (save({'text_embeddings': torch.zeros(1, 4, 5), 'pooled_embeddings': torch.full((1, 3), torch.nan)}),
     'pooled_embeddings: found NaN'),
])
def test_bad_text_is_named(folder, change, message):
    change(LayoutPaths(folder).text('img_003'))
    with pytest.raises(DataError, match=f'text_embeddings/img_003.pt: {message}'):
        open_layout_folder(folder)


def test_folder_of_the_original_preparation_is_read(tmp_path):
    """Types, shapes and keys as it wrote them on a GPU, before it had all keys of captions; no meta.json."""
    paths = LayoutPaths(tmp_path)
    image = make_image('000123', 2, np.random.default_rng(0), (720, 1280))
    rng = np.random.default_rng(0)
    write_layout_image(tmp_path, image, latents=torch.zeros(16, 128, 128, dtype=torch.bfloat16),
                       clip=unit(rng, 2, 512).astype(np.float16), dino=unit(rng, 2, 1024),
                       text={'text_embeddings': torch.ones(1, 512, 4096, dtype=torch.bfloat16),
                             'pooled_embeddings': torch.ones(1, 768, dtype=torch.bfloat16)})
    assert set(torch.load(paths.text('000123'))) == {'text_embeddings', 'pooled_embeddings', 'global_caption'}
    assert torch.load(paths.latents('000123')).shape == (1, 16, 128, 128)
    assert paths.dino('000123', 2) == tmp_path / 'embedding/dino_cropped_boxes/000123_obj2.npy'
    batch = LayoutImageDataset(tmp_path, 'all').__getitems__([0])
    check_layout_batch(batch)
    assert batch['text'].shape == (1, 512, 4096) and batch['pooled'].shape == (1, 768)
    assert batch['latents'].shape == (1, 16, 128, 128) and batch['image_size'].tolist() == [[720, 1280]]
    assert {value.dtype for value in batch.values() if value.is_floating_point()} == {torch.float32}


def test_skipping_reports_count_and_names(folder, caplog, monkeypatch):
    said = []
    monkeypatch.setattr(layout_folder, 'print_log', lambda message, *rest: said.append(message))
    LayoutPaths(folder).text('img_001').unlink()
    torch.save(torch.full((16, 4, 4), torch.nan), LayoutPaths(folder).latents('img_000'))
    found = open_layout_folder(folder, on_bad='skip')
    assert set(found.images) == {'img_002', 'img_003'} and list(found.problems) == ['img_000', 'img_001']
    assert any('2 of 4 images are bad and left out: img_000, img_001 (' in message for message in said)
    LayoutPaths(folder).text('img_002').unlink()
    with pytest.raises(DataError, match=r'3 of 4 bad \(img_000, img_001, img_002; .*at most 50%'):
        open_layout_folder(folder, on_bad='skip')
    with pytest.raises(ConfigError, match='on_bad'):
        open_layout_folder(folder, on_bad='ignore')


def test_ten_names_at_most(tmp_path):
    folder = write_layout_folder(tmp_path / 'data', [0] * 25)
    for number in range(13):
        LayoutPaths(folder).text(f'img_{number:03d}').unlink()
    with pytest.raises(DataError) as caught:
        open_layout_folder(folder, on_bad='skip')
    assert '13 of 25 bad' in caught.value.found and 'img_009, ...' in caught.value.found


@pytest.mark.parametrize('on_bad', ['error', 'skip'])
def test_an_id_twice_is_an_error_in_any_case(folder, on_bad):
    paths = LayoutPaths(folder)
    paths.caption('img_0000').write_text(paths.caption('img_000').read_text())
    with pytest.raises(DataError, match=r'img_0000.json: image_id twice: found img_000, .*img_000.json has it'):
        open_layout_folder(folder, on_bad=on_bad)


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match='captions: found nothing at this path'):
        open_layout_folder(tmp_path / 'none')
    with pytest.raises(DataError, match='captions: found no JSON file'):
        open_layout_folder(tmp_path)


def test_unchanged_files_are_not_read_again(folder, monkeypatch):
    torch.save(torch.full((16, 4, 4), torch.nan), LayoutPaths(folder).latents('img_000'))
    first = check_layout_folder(folder)
    read = []
    real = layout_folder.check_image_files
    monkeypatch.setattr(layout_folder, 'check_image_files', lambda paths, image, meta: (
        read.append(image.image_id), real(paths, image, meta))[1])
    again = check_layout_folder(folder)
    assert not read and again.latent_sizes == first.latent_sizes
    assert {name: str(error) for name, error in again.problems.items()} == \
        {name: str(error) for name, error in first.problems.items()}
    np.save(LayoutPaths(folder).clip('img_003', 2), np.zeros(6, np.float32))
    assert list(check_layout_folder(folder).problems) == ['img_000', 'img_003'] and len(read) == 4
    (folder / '.checked.json').write_text('{')
    assert list(check_layout_folder(folder).problems) == ['img_000', 'img_003'] and len(read) == 8


def test_folder_without_meta_is_one_of_the_original_preparation(folder):
    (folder / META).unlink()
    assert read_layout_meta(folder) is UPSTREAM_META
    with pytest.raises(DataError, match=r'expected \(1, 512, 4096\)'):
        open_layout_folder(folder)


@pytest.mark.parametrize(('change', 'field'), [
    (lambda m: m.pop('dims'), 'dims'), (lambda m: m['dims'].pop('clip'), 'dims.clip'),
    (lambda m: m['dims'].update(dino=0), 'dims.dino'), (lambda m: m.update(version=7), 'version'),
    (lambda m: m['vae'].pop('shift'), 'vae.shift'), (lambda m: m.update(vae=3), 'vae.id')])
def test_damaged_meta_is_named(folder, change, field):
    edit(folder / META, change)
    with pytest.raises(DataError, match=f'meta.json: {field}'):
        open_layout_folder(folder)


def test_meta_of_unusable_encoders_is_refused(tmp_path):
    with pytest.raises(DataError, match=r'dims.clip'):
        make_layout_meta(VAE, 'a', 'b', 'c', DIMS | dict(clip=0))
    write_json(tmp_path / META, make_layout_meta(VAE | dict(scale=(1, 2)), 'a', 'b', 'c', DIMS))
    assert read_layout_meta(tmp_path)['vae']['scale'] == [1, 2]


def test_boxes_are_clamped_within_the_tolerance():
    assert check_box([-0.001, 0, 1.001, 0.5], 'here', 'bbox') == [0, 0, 1, 0.5]


@pytest.mark.parametrize(('box', 'label'), [
    ((0.1, 0.3, 0.5, 0.6), 'foreground'), ((0.1, 0.7, 0.15, 0.8), 'foreground'), ((0.4, 0.4, 0.45, 0.5), 'background'),
    ((0.1, 0.1, 0.4, 0.3), 'background'), ((0.2, 0.4, 0.5, 0.6), 'midground')])
def test_depth_is_guessed_from_boxes(box, label):
    assert depth_label(box) == label
