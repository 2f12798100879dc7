"""The stand-in for FLUX's autoencoder."""

import numpy as np
import torch

from motionlab.codecs.dct_image_codec import DctImageCodec
from motionlab.codecs.image_range import to_images
from motionlab.datasets.layout_scenes import draw_scene


def scenes(count: int = 24) -> torch.Tensor:
    return to_images(torch.from_numpy(np.stack([draw_scene(10 ** 6 + number) for number in range(count)])))


def test_patterns_are_orthonormal():
    kernels = DctImageCodec().kernels.flatten(1)
    assert torch.allclose(kernels @ kernels.T, torch.eye(16), atol=1e-6)


def test_decoding_is_the_inverse_on_latents():
    codec, latents = DctImageCodec(), torch.randn(2, 16, 4, 6)
    assert torch.allclose(codec.encode(codec.decode(latents)), latents, atol=1e-5)


def test_a_grey_ramp_survives_but_fine_detail_does_not():
    codec = DctImageCodec()
    flat = torch.full((1, 3, 8, 8), 0.25)
    assert torch.allclose(codec.decode(codec.encode(flat)), flat, atol=1e-6)
    checkers = ((torch.arange(8)[:, None] + torch.arange(8)) % 2 * 2 - 1.0).expand(1, 3, 8, 8)
    assert codec.decode(codec.encode(checkers)).std() < 0.5 * checkers.std()


def test_channels_of_scenes_are_normalised():
    codec = DctImageCodec()
    latents = (codec.encode(scenes(120)) - codec.shift) * codec.scale
    assert (latents.std(dim=(0, 2, 3)) - 1).abs().max() < 0.15
    assert latents.mean(dim=(0, 2, 3)).abs().max() < 0.15


def test_round_trip_of_scenes_is_as_good_as_the_prototype_s():
    codec, images = DctImageCodec(), scenes()
    error = (codec.decode(codec.encode(images)).clamp(-1, 1) - images).div(2).square().mean()
    assert -10 * error.log10() > 27.5  # The prototype had 28.7 dB.


def test_nothing_is_in_checkpoints():
    assert not DctImageCodec().state_dict()
