import numpy as np
import pytest
import torch

from motionlab.codecs import layout_batch as keys
from motionlab.codecs.layout_batch import check_layout_batch
from motionlab.datasets.layout_dataset import LayoutImageDataset
from motionlab.datasets.layout_files import LayoutPaths, write_picture
from motionlab.registry import DATASETS
from motionlab.utils import ConfigError, DataError
from tests.layout_folders import write_layout_folder


@pytest.fixture
def folder(tmp_path):
    return write_layout_folder(tmp_path / 'data', [3, 0, 2, 5, 1, 2, 2, 2, 1, 1])


def test_batch_is_padded_to_its_largest_image(folder):
    dataset = DATASETS.build(dict(type='LayoutImageDataset', data_root=folder, split='all', images=True))
    batch = dataset.__getitems__([4, 2, 1])
    check_layout_batch(batch)
    assert batch[keys.REF_MASK].tolist() == [[True, False], [True, True], [False, False]]
    assert batch[keys.LATENTS].shape == (3, 16, 4, 4) and batch[keys.LATENTS][:, 0, 0, 0].tolist() == [4, 2, 1]
    assert batch[keys.OBJECT_ID].tolist() == [[0, -1], [0, 2], [-1, -1]]
    assert (batch[keys.BOXES][~batch[keys.REF_MASK]] == 0).all() and batch[keys.CLIP].dtype == torch.float32
    assert torch.allclose(batch[keys.DINO].norm(dim=2), batch[keys.REF_MASK].float(), atol=1e-5)
    assert batch[keys.IMAGES].shape == (3, 16, 16, 3) and batch[keys.IMAGES][1].unique().tolist() == [2]
    assert batch[keys.IMAGE_SIZE].tolist() == [[16, 16]] * 3


def test_image_without_objects_still_has_a_slot(folder):
    batch = LayoutImageDataset(folder, 'all').__getitems__([1])
    check_layout_batch(batch)
    assert batch[keys.REF_MASK].tolist() == [[False]] and batch[keys.CLIP].shape == (1, 1, 6)


def test_preloaded_and_single_samples_are_the_same(folder):
    plain, kept = LayoutImageDataset(folder, 'all'), LayoutImageDataset(folder, 'all', preload=True)
    for key, value in plain.__getitems__([0, 3]).items():
        assert torch.equal(value, kept.__getitems__([0, 3])[key]), key
    assert torch.equal(plain[3][keys.BOXES], plain.__getitems__([3])[keys.BOXES][0])
    with pytest.raises(IndexError, match='10'):
        plain[10]


def test_splits_and_names(folder):
    train, val = LayoutImageDataset(folder, 'train'), LayoutImageDataset(folder, 'val')
    assert (len(train), [image.image_id for image in val.layouts]) == (9, ['img_009'])
    assert val.layouts[0].caption == 'picture img_009' and val.metainfo['dims']['dino'] == 10
    with pytest.raises(ConfigError, match='test'):
        LayoutImageDataset(folder, 'test')


def test_largest_references_are_kept_and_counted(folder):
    whole, cut = (LayoutImageDataset(folder, 'all', max_refs=count) for count in (50, 2))
    assert (whole.truncated, cut.truncated) == (0, 2)
    boxes = whole.layouts[3].boxes
    largest = np.sort(np.argsort(-((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])))[:2])
    assert cut.layouts[3].object_ids.tolist() == (2 * largest).tolist()
    assert np.array_equal(cut.layouts[3].boxes, boxes[largest])
    assert cut.layouts[3].categories == tuple(f'thing {i}' for i in largest)


def test_sizes_of_one_batch_must_agree(tmp_path):
    folder = write_layout_folder(tmp_path / 'data', [1] * 4, [(4, 4), (6, 4)])
    dataset = LayoutImageDataset(folder, 'all')
    assert dataset.latent_sizes.tolist() == [[4, 4], [6, 4]] * 2
    with pytest.raises(DataError, match=r'img_000: 4 x 4, img_001: 6 x 4.*SizeBucketSampler'):
        dataset.__getitems__([0, 1])
    assert dataset.__getitems__([1, 3])[keys.LATENTS].shape == (2, 16, 6, 4)


def test_pictures_of_references_are_crops_or_their_own(folder):
    dataset = LayoutImageDataset(folder, 'all')
    write_picture(LayoutPaths(folder).reference('img_002', 2), np.full((5, 7, 3), 200, np.uint8))
    crop, own = dataset.references(2)
    x1, y1, x2, y2 = np.floor(dataset.layouts[2].boxes[0] * 16).astype(int)
    assert crop.shape == (y2 - y1, x2 - x1, 3) and (crop == 2).all()
    assert own.shape == (5, 7, 3) and (own == 200).all()
    assert dataset.references(1) == []


def test_missing_pictures_matter_only_where_they_are_read(folder):
    LayoutPaths(folder).image('img_003').unlink()
    LayoutImageDataset(folder, 'train')
    with pytest.raises(DataError, match=r'img_003.png: file: found 1 pictures missing'):
        LayoutImageDataset(folder, 'train', images=True)
