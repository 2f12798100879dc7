import json

import numpy as np
import pytest
import torch

from motionlab.apis.layout_requests import (
    LayoutReference,
    LayoutRequest,
    encode_requests,
    read_layout_request,
    requests_of_dataset,
)
from motionlab.codecs import layout_batch as keys
from motionlab.codecs.layout_codec import LayoutCodec
from motionlab.datasets.layout_files import write_picture
from motionlab.datasets.layout_scenes import LayoutSceneDataset
from motionlab.utils import ConfigError, DataError

RED = np.full((20, 30, 3), (200, 30, 40), np.uint8)


def _write(folder, content, picture=RED):
    write_picture(folder / 'red.png', picture)
    path = folder / 'layout.json'
    path.write_text(json.dumps(content))
    return path


def _content(**item):
    return dict(global_caption='circle', width=64, height=32, objects=[dict(bbox=[0, 0.5, 0.5, 1]) | item])


def test_a_file_with_reference_pictures(tmp_path):
    found = read_layout_request(_write(tmp_path, _content(reference='red.png', alpha=0.25, category_name='ball')))
    reference, = found.references
    assert (found.caption, found.height, found.width, found.name) == ('circle', 32, 64, 'layout')
    assert (reference.box, reference.alpha, reference.depth, reference.name) == ((0, 0.5, 0.5, 1), 0.25, None, 'ball')
    np.testing.assert_array_equal(reference.picture, RED)
    assert read_layout_request(tmp_path / 'layout.json', (48, 80)).height == 48


def test_objects_cut_out_of_a_picture(tmp_path):
    picture = RED.copy()
    picture[10:, :15] = 7
    path = _write(tmp_path, _content(depth_label='background') | dict(image='red.png'), picture)
    reference, = read_layout_request(path).references
    assert reference.depth == 'background' and reference.picture.shape == (10, 15, 3) and (reference.picture == 7).all()


@pytest.mark.parametrize(('change', 'message'), [
    (dict(global_caption=3), 'a text'), (dict(width=0), 'width'), (dict(widht=3), 'unknown key'),
    (dict(objects=[dict(reference='red.png')]), r'objects\[0\].bbox'), (dict(objects=[3]), 'a JSON object'),
    (dict(objects=[dict(bbox=[0, 0, 2, 1], reference='red.png')]), r'objects\[0\].bbox.*pixels'),
    (dict(objects=[dict(bbox=[0, 0, 1, 1])]), r'objects\[0\].reference'),
    (dict(objects=[dict(bbox=[0, 0, 1, 1], reference='none.png')]), 'none.png'),
    (dict(objects=[dict(bbox=[0, 0, 1, 1], reference='red.png', depth_label='near')]), r'objects\[0\].depth'),
    (dict(objects=[dict(bbox=[0, 0, 1, 1], reference='red.png', alpha=1.5)]), r'objects\[0\].alpha'),
    (dict(objects=[dict(bbox=[0, 0, 1, 1], reference='red.png', alhpa=1)]), r'objects\[0\].alhpa.*unknown')])
def test_odd_files(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        read_layout_request(_write(tmp_path, _content(reference='red.png') | change))


def test_what_the_network_is_told():
    codec = LayoutCodec()
    near = LayoutReference((0.1, 0.1, 0.9, 0.9), RED)
    far = LayoutReference((0, 0, 0.05, 0.05), RED[::-1], 'foreground', 0.0)
    batch = encode_requests(codec, [LayoutRequest('circle', (near, far), 32, 32), LayoutRequest('square', (), 32, 32)])
    keys.check_layout_batch(batch)
    assert batch[keys.REF_MASK].tolist() == [[True, True], [False, False]]
    assert batch[keys.DEPTH][0].tolist() == [0, 0]  # Guessed by its size, and as said.
    assert batch[keys.ALPHA_OVERRIDE][0].isnan().tolist() == [True, False] and batch[keys.ALPHA_OVERRIDE][0, 1] == 0
    clip, dino = codec.encode_pictures([RED])
    torch.testing.assert_close(batch[keys.DINO][0, :1], dino)
    torch.testing.assert_close(batch[keys.CLIP][0, :1], clip)
    with pytest.raises(DataError, match='at least one'):
        encode_requests(codec, [])
    with pytest.raises(DataError, match='caption'):
        encode_requests(codec, [LayoutRequest(' ', (), 32, 32)])


def test_requests_of_a_data_set_are_told_as_its_batches():
    dataset = LayoutSceneDataset(num_scenes=3, seed=1)
    requests = requests_of_dataset(dataset, 2)
    told, batch = encode_requests(LayoutCodec(), requests), dataset.__getitems__([0, 1])
    for key in (*keys.REFERENCE_KEYS, keys.TEXT, keys.POOLED):
        torch.testing.assert_close(told[key], batch[key], msg=lambda text, key=key: f'{key}: {text}')
    assert [(each.height, each.width) for each in requests] == [(64, 64)] * 2
    assert requests_of_dataset(dataset, 9, (32, 48))[2].width == 48
    with pytest.raises(ConfigError, match='at least 1'):
        requests_of_dataset(dataset, 0)


def test_odd_references():
    for options, message in ((dict(box=(0, 0, 1)), 'four'), (dict(depth='near'), 'depth'),
                             (dict(alpha=float('nan')), 'alpha'), (dict(picture=RED / 255), 'uint8'),
                             (dict(picture=RED[:0]), 'picture')):
        with pytest.raises(DataError, match=message):
            LayoutReference(**dict(box=(0, 0, 1, 1), picture=RED) | options)
