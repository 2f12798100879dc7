"""Crops and their resampling, against Pillow, torch and a plain loop."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from motionlab.codecs.reference_crops import crop_bounds, crop_boxes, cut_out, fit_and_cut, squash
from motionlab.utils import DataError


def pictures(count: int, height: int = 40, width: int = 60) -> np.ndarray:
    return np.random.default_rng(0).integers(90, 166, (count, height, width, 3)).astype(np.uint8)


def as_tensor(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).movedim(-1, 1).float() / 255


def test_bounds_are_floored_and_clamped():
    boxes = torch.tensor([[0.1, 0.26, 0.99, 0.51], [-0.2, -0.2, 1.2, 1.2], [0.5, 0.5, 0.5, 0.5], [1, 1, 1, 1]])
    assert crop_bounds(boxes, 10, 20).tolist() == [[2, 2, 19, 5], [0, 0, 20, 10], [10, 5, 11, 6], [19, 9, 20, 10]]


def test_crops_equal_a_loop_over_torch_s_own_resampling():
    images = as_tensor(pictures(3))
    boxes = torch.tensor([[0, 0, 1, 1], [0.1, 0.2, 0.3, 0.9], [0.5, 0.5, 0.7, 0.6]])
    found = crop_boxes(images, boxes, 24)
    for image, (x1, y1, x2, y2), crop in zip(images, crop_bounds(boxes, 40, 60).tolist(), found):
        expected = functional.interpolate(image[None, :, y1:y2, x1:x2], (24, 24), mode='bicubic', antialias=True)
        assert torch.allclose(crop[None], expected, atol=2e-5)


def test_crops_have_a_gradient_inside_their_box_only():
    images = torch.rand(1, 3, 20, 20, requires_grad=True)
    crop_boxes(images, torch.tensor([[0.25, 0.25, 0.75, 0.75]]), 8).square().sum().backward()
    touched = images.grad[0].abs().sum(0) > 0
    assert touched[5:15, 5:15].all() and touched.sum() == 100


def test_no_box_gives_no_crop():
    assert crop_boxes(torch.rand(0, 3, 20, 20), torch.zeros(0, 4), 8).shape == (0, 3, 8, 8)
    assert squash([], 8).shape == (0, 3, 8, 8)


@pytest.mark.parametrize('size', [16, 64])
def test_squashing_equals_pillow(size):
    picture = pictures(1)[0]
    expected = np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BICUBIC))
    found = squash([picture], size)[0].movedim(0, -1).numpy() * 255
    assert np.abs(found - expected).max() <= 1.1  # Pillow rounds in between, and clips, hence mild pictures.


def test_fitting_cuts_the_ends_off_as_clip_does():
    picture = pictures(1, 20, 60)[0]
    resized = np.asarray(Image.fromarray(picture).resize((48, 16), Image.Resampling.BICUBIC))
    found = fit_and_cut([picture], 16)[0].movedim(0, -1).numpy() * 255
    assert np.abs(found - resized[:, 16:32]).max() <= 1.1
    upright = fit_and_cut([picture.transpose(1, 0, 2)], 16)[0].movedim(0, -1).numpy() * 255
    assert np.abs(upright - found.transpose(1, 0, 2)).max() < 1e-3


def test_the_same_crop_offline_and_in_a_loss():
    picture, box = pictures(1)[0], [0.11, 0.2, 0.83, 0.77]
    offline = squash([cut_out(picture, box)], 32)
    online = crop_boxes(as_tensor(picture[None]), torch.tensor([box]), 32).clamp(0, 1)
    assert torch.allclose(offline, online, atol=1e-5)


@pytest.mark.parametrize('picture', [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)])
def test_only_rgb_bytes_are_pictures(picture):
    with pytest.raises(DataError, match=r'uint8 \(h, w, 3\)'):
        squash([picture], 8)
