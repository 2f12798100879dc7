import json

import numpy as np
import pytest
import torch

from motionlab.codecs.layout_codec import LayoutCodec
from motionlab.datasets import layout_preparation
from motionlab.datasets.layout_annotations import read_annotations
from motionlab.datasets.layout_dataset import LayoutImageDataset
from motionlab.datasets.layout_files import LayoutPaths, read_latents, read_picture, write_picture
from motionlab.datasets.layout_preparation import LayoutPreparation, prepare_layout_images
from motionlab.datasets.layout_resizing import resize_picture, size_for_latents
from motionlab.utils import ConfigError, DataError
from tests.layout_pictures import write_annotated_pictures

TINY = dict(side=64, multiple=8)


@pytest.fixture(scope='module')
def codec():
    return LayoutCodec()


def edit(path, change):
    records = json.loads(path.read_text())
    change(records)
    path.write_text(json.dumps(records))
    return path


def test_latents_keep_the_ratio_of_pictures(tmp_path, codec):
    source = write_annotated_pictures(tmp_path / 'in')
    folder = prepare_layout_images(LayoutPreparation(source, tmp_path / 'out', **TINY), codec)
    assert folder.latent_sizes == {'p0': (16, 16), 'p1': (12, 22), 'p2': (24, 10)}
    assert folder.meta['vae'] == codec.describe()['vae'] and folder.meta['picture']['resize'] == 'aspect'
    picture = read_picture(folder.paths.image('p1'))
    assert picture.shape == (48, 96, 3)
    expected = codec.encode_images(torch.from_numpy(resize_picture(picture, (48, 88)))[None])[0]
    assert torch.equal(read_latents(folder.paths.latents('p1')), expected)
    boxes = folder.images['p1'].boxes
    assert boxes.tolist() == [[0, 0, 0.5, 0.5], [0.25, 0.25, 1, 1]]
    assert folder.images['p1'].depth.tolist() == [0, 2]


def test_squashed_pictures_have_one_size(tmp_path, codec):
    source = write_annotated_pictures(tmp_path / 'in', nested=True)
    folder = prepare_layout_images(LayoutPreparation(source, tmp_path / 'out', resize='squash', **TINY), codec)
    assert set(folder.latent_sizes.values()) == {(16, 16)} and len(folder.images['p2']) == 2


def test_sizes_for_latents():
    assert size_for_latents(1000, 1000, 1024, 64) == (1024, 1024)
    assert size_for_latents(1080, 1920, 1024, 64) == (768, 1344)
    assert size_for_latents(1, 1000, 64, 8)[0] == 8


def test_reference_pictures_are_encoded_in_the_place_of_crops(tmp_path, codec):
    source = write_annotated_pictures(tmp_path / 'in', sizes=[(64, 64)])
    own = np.full((20, 30, 3), (10, 200, 30), np.uint8)
    write_picture(tmp_path / 'in/own.png', own)
    edit(source, lambda records: records[0]['annos'][1].update(reference='own.png'))
    prepare_layout_images(LayoutPreparation(source, tmp_path / 'out', **TINY), codec)
    dataset = LayoutImageDataset(tmp_path / 'out', 'all')
    crop, reference = dataset.references(0)
    assert np.array_equal(reference, own) and crop.shape == (32, 32, 3)
    clip, dino = codec.encode_pictures([crop, own])
    assert torch.allclose(dataset[0]['clip'], clip) and torch.allclose(dataset[0]['dino'], dino)
    # Taken away again, the crop counts.
    edit(source, lambda records: records[0]['annos'][1].pop('reference'))
    prepare_layout_images(LayoutPreparation(source, tmp_path / 'out', **TINY), codec)
    assert LayoutImageDataset(tmp_path / 'out', 'all').references(0)[1].shape == (48, 48, 3)


def test_folder_of_layout_data_is_encoded_anew(tmp_path, codec):
    source = write_annotated_pictures(tmp_path / 'in')
    first = prepare_layout_images(LayoutPreparation(source, tmp_path / 'out', **TINY), codec)
    again = prepare_layout_images(LayoutPreparation(tmp_path / 'out', tmp_path / 'again', resize='squash', **TINY),
                                  codec)
    assert {name: image.to_json() for name, image in again.images.items()} == \
        {name: image.to_json() for name, image in first.images.items()}
    with pytest.raises(ConfigError, match='Choose another folder'):
        LayoutPreparation(tmp_path / 'out', tmp_path / 'out', **TINY)


def test_only_what_changed_is_prepared_again(tmp_path, codec, monkeypatch):
    source = write_annotated_pictures(tmp_path / 'in')
    job = LayoutPreparation(source, tmp_path / 'out', **TINY)
    prepare_layout_images(job, codec)
    done = []
    monkeypatch.setattr(layout_preparation, '_prepare', lambda picture, *rest: done.append(picture.layout.image_id))
    prepare_layout_images(job, codec)
    assert done == []
    LayoutPaths(tmp_path / 'out').dino('p2', 1).unlink()
    edit(source, lambda records: records[0].update(prompt='square, another caption'))
    with pytest.raises(DataError, match='p2_obj1'):
        prepare_layout_images(job, codec)
    assert done == ['p0', 'p2']


def test_other_encoders_or_sizes_are_refused(tmp_path, codec):
    source = write_annotated_pictures(tmp_path / 'in', sizes=[(64, 64)])
    prepare_layout_images(LayoutPreparation(source, tmp_path / 'out', **TINY), codec)
    with pytest.raises(ConfigError, match=r"prepared with picture .*'side': 64.*another folder"):
        prepare_layout_images(LayoutPreparation(source, tmp_path / 'out', side=32, multiple=8), codec)
    with pytest.raises(ConfigError, match='multiple=4: expected a multiple of 8'):
        prepare_layout_images(LayoutPreparation(source, tmp_path / 'other', side=64, multiple=4), codec)
    (tmp_path / 'out/meta.json').unlink()  # Then its captions are of the original preparation.
    with pytest.raises(ConfigError, match='prepared with version 0'):
        prepare_layout_images(LayoutPreparation(source, tmp_path / 'out', **TINY), codec)


@pytest.mark.parametrize(('change', 'message'), [
    (lambda records: records[1].update(image='none.png'), 'record 1: image: found nothing at'),
    (lambda records: records[1].update(width=97), 'record 1: height and width: found 48 and 97, expected 48 and 96'),
    (lambda records: records[1].update(prompt=' '), "record 1: caption: found ' '"),
    (lambda records: records[1].update(id='p0'), 'record 1: found the id p0'),
    (lambda records: records[1].update(id='../p1'), 'image_id'),
    (lambda records: records[1].pop('annos'), 'record 1: annos'),
    (lambda records: records[1]['annos'][0].update(bbox=[0, 0, 200, 10]), r'annos\[0\].bbox'),
    (lambda records: records[1]['annos'][0].update(bbox=[5, 0, 5, 10]), r'annos\[0\].bbox'),
    (lambda records: records[1]['annos'][0].update(bbox=['a', 0, 5, 10]), r'annos\[0\].bbox'),
    (lambda records: records[1]['annos'][0].update(depth_label='near'), r'annos\[0\].*depth_label'),
    (lambda records: records[1]['annos'][0].update(reference='none.png'), r'annos\[0\].reference'),
    (lambda records: records[1]['annos'][0].pop('caption'), r'annos\[0\].caption'),
])
def test_bad_annotations_are_named_before_anything_is_encoded(tmp_path, change, message):
    source = edit(write_annotated_pictures(tmp_path / 'in'), change)
    with pytest.raises(DataError, match=message):
        read_annotations(source)


def test_bad_objects_leave_gaps_where_they_are_skipped(tmp_path):
    source = edit(write_annotated_pictures(tmp_path / 'in'),
                  lambda records: (records[0]['annos'][0].update(bbox=None), records[1].update(prompt='')))
    found = read_annotations(source, on_bad='skip')
    assert [picture.layout.image_id for picture in found] == ['p0', 'p2']
    assert found[0].layout.object_ids.tolist() == [1]
    edit(source, lambda records: records[2].update(prompt=''))
    with pytest.raises(DataError, match='2 of 3 bad'):
        read_annotations(source, on_bad='skip')


def test_lines_of_json_and_boxes_as_shares(tmp_path):
    source = write_annotated_pictures(tmp_path / 'in', sizes=[(64, 64)])
    records = json.loads(source.read_text())
    records[0]['annos'][0]['bbox'] = [0.1, 0.2, 0.3, 1.0005]
    records[0]['annos'].pop()
    lines = source.with_suffix('.jsonl')
    lines.write_text('\n'.join(map(json.dumps, records)) + '\n\n')
    assert read_annotations(lines, box_units='shares')[0].layout.boxes.tolist() == [[0.1, 0.2, 0.3, 1.0]]
    with pytest.raises(DataError, match='line 2'):
        lines.write_text(json.dumps(records[0]) + '\n{')
        read_annotations(lines, box_units='shares')
