import json

import numpy as np
import pytest
import torch

from motionlab.datasets import layout_dataset, layout_folder
from motionlab.datasets.layout_dataset import LayoutImageDataset
from motionlab.datasets.layout_files import LayoutPaths
from motionlab.utils import DataError
from tests.layout_folders import write_layout_folder


def change_caption(**values):
    def change(paths):
        path = paths.caption('img_000')
        content = json.loads(path.read_text())
        content['objects'][0].update({key: values[key] for key in values if key in content['objects'][0]})
        content.update({key: values[key] for key in values if key in content})
        path.write_text(json.dumps(content))
    return change


def drop_key(key):
    def change(paths):
        path = paths.caption('img_000')
        content = json.loads(path.read_text())
        (content if key in content else content['objects'][0]).pop(key)
        path.write_text(json.dumps(content))
    return change


def save_latents(*shape, value=0.0):
    return lambda paths: torch.save(torch.full(shape, value), paths.latents('img_000'))


def save_clip(*values):
    return lambda paths: np.save(paths.clip('img_000', 0), np.array(values, np.float32))


# What is done to a good folder, the end of the file's name, the field that the error names.
BAD = [
    (lambda paths: paths.caption('img_000').unlink(), 'img_000.json', 'file'),
    (lambda paths: paths.caption('img_000').write_text('{"image_id": '), 'img_000.json', 'content'),
    *((drop_key(key), 'img_000.json', key) for key in (
        'image_id', 'image_path', 'global_caption', 'width', 'height', 'objects', 'object_id', 'category_name', 'bbox',
        'depth_label', 'caption')),
    (change_caption(width=0), 'img_000.json', 'width'),
    (change_caption(height=-1), 'img_000.json', 'height'),
    *((change_caption(bbox=bbox), 'img_000.json', 'bbox') for bbox in (
        [0, 0, 1], [0, 0, float('inf'), 1], [-0.01, 0, 1, 1], [0, 0, 1.01, 1], [0.5, 0, 0.5, 1], [0, 0.6, 1, 0.5])),
    (change_caption(depth_label='far'), 'img_000.json', 'depth_label'),
    (lambda paths: paths.clip('img_000', 0).unlink(), 'img_000_obj0.npy', 'file'),
    (lambda paths: paths.dino('img_000', 0).unlink(), 'img_000_obj0.npy', 'file'),
    (lambda paths: paths.latents('img_000').unlink(), 'img_000.pt', 'file'),
    (lambda paths: paths.text('img_000').unlink(), 'img_000.pt', 'file'),
    (save_clip(1, 0, 0), 'img_000_obj0.npy', 'array'),
    (save_clip(np.nan, 0, 0, 0, 0, 0), 'img_000_obj0.npy', 'array'),
    (save_clip(0, 0, 0, 0, 0, 0), 'img_000_obj0.npy', 'array'),
    (save_latents(1, 16, 4, 4, value=torch.inf), 'img_000.pt', 'latents'),
    (save_latents(1, 8, 4, 4), 'img_000.pt', 'shape'),
    (save_latents(16, 4, 5), 'img_000.pt', 'shape'),
]


def test_movie_12_bad_data(tmp_path, monkeypatch):
    """Missing/odd data gives the errors of 2.2; nothing is replaced by zeros or noise."""
    said = []
    for module in (layout_folder, layout_dataset):
        monkeypatch.setattr(module, 'print_log', lambda message, *rest: said.append(message))
    for number, (change, file, field) in enumerate(BAD):
        folder = write_layout_folder(tmp_path / f'{number}', [2, 1, 1])
        change(LayoutPaths(folder))
        with pytest.raises(DataError) as caught:
            LayoutImageDataset(folder, 'all')
        assert str(caught.value.file).endswith(file) and caught.value.field.endswith(field), (number, caught.value)
        # Left out, not made up.
        skipping = LayoutImageDataset(folder, 'all', on_bad='skip')
        assert [image.image_id for image in skipping.layouts] == ['img_001', 'img_002']
        assert any('1 of 3 images are bad and left out: img_000' in message for message in said)
        said.clear()


def test_movie_12_what_holds_for_many_images(tmp_path, monkeypatch):
    """Missing/odd data gives the errors of 2.2; nothing is replaced by zeros or noise."""
    said = []
    for module in (layout_folder, layout_dataset):
        monkeypatch.setattr(module, 'print_log', lambda message, *rest: said.append(message))
    folder = write_layout_folder(tmp_path / 'a', [1] * 24, latent_sizes=[(4, 4), (4, 6)])
    # Mixed sizes in a batch.
    with pytest.raises(DataError, match='latents of a batch'):
        LayoutImageDataset(folder, 'all').__getitems__([0, 1])
    # Count and first ten names; more than half is refused.
    for number in range(12):
        LayoutPaths(folder).text(f'img_{number:03d}').unlink()
    assert len(LayoutImageDataset(folder, 'all', on_bad='skip')) == 12
    listed = ', '.join(f'img_{number:03d}' for number in range(10))
    assert any(f'12 of 24 images are bad and left out: {listed}, ... (' in message for message in said)
    LayoutPaths(folder).text('img_012').unlink()
    with pytest.raises(DataError, match='13 of 24 bad'):
        LayoutImageDataset(folder, 'all', on_bad='skip')
    # A file that went bad after the check is no batch either.
    folder = write_layout_folder(tmp_path / 'b', [1])
    dataset = LayoutImageDataset(folder, 'all')
    np.save(LayoutPaths(folder).dino('img_000', 0), np.zeros(10, np.float32))
    with pytest.raises(DataError, match=r'dino_cropped_boxes/img_000_obj0\.npy: array: found length 0'):
        dataset[0]
    # An id twice.
    path = LayoutPaths(folder).caption('img_000')
    path.with_name('img_001.json').write_text(path.read_text())
    with pytest.raises(DataError, match='image_id twice'):
        LayoutImageDataset(folder, 'all', on_bad='skip')
    # Files that only a pickle could bring are not run: the tensor files are read with weights_only.
    folder = write_layout_folder(tmp_path / 'c', [1, 1])
    torch.save(np.zeros((16, 4, 4)), LayoutPaths(folder).latents('img_000'))
    with pytest.raises(DataError, match=r'img_000\.pt: content'):
        LayoutImageDataset(folder, 'all')
    # More references than max_refs: the largest are kept, and counted.
    folder = write_layout_folder(tmp_path / 'd', [4, 1])
    said.clear()
    assert LayoutImageDataset(folder, 'all', max_refs=3).truncated == 1
    assert any('1 images have more than 3 objects: 1 small ones are left out' in message for message in said)
