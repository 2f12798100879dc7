"""Pictures as files hold them, and as networks take them."""

import pytest
import torch

from motionlab.codecs.image_range import check_frame_size, to_images, to_uint8
from motionlab.utils import DataError


def test_bytes_survive_the_way_there_and_back():
    frames = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).repeat(1, 1, 1, 3)
    images = to_images(frames)
    assert images.shape == (1, 3, 16, 16) and (images.min(), images.max()) == (-1, 1)
    assert torch.equal(to_uint8(images), frames) and to_images(images) is images
    assert to_uint8(torch.tensor([-3.0, 0.0, 3.0]).view(3, 1, 1)).tolist() == [[[0, 128, 255]]]


@pytest.mark.parametrize('frames', [torch.zeros(3, 8, 8, dtype=torch.uint8), torch.zeros(8, 8, 3),
                                    torch.zeros(8, 8, 3, dtype=torch.int64), torch.zeros(3, 8)])
def test_another_layout_or_type_is_refused(frames):
    with pytest.raises(DataError, match='type and shape'):
        to_images(frames)


@pytest.mark.parametrize('value', [1.5, float('nan')])
def test_another_range_is_refused(value):
    with pytest.raises(DataError, match='-1 to 1'):
        to_images(torch.full((3, 8, 8), value))


def test_the_nearest_valid_size_is_named():
    check_frame_size(16, 32, 16)
    with pytest.raises(DataError, match=r'game: height and width: found 17 x 5 px.*16 x 16'):
        check_frame_size(17, 5, 16, 'game')
