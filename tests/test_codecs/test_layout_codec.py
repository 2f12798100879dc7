"""Images, references and captions through the codec of layout generation, with its tiny parts."""

import numpy as np
import pytest
import torch

from motionlab.codecs import LayoutCodec
from motionlab.codecs import layout_batch as keys
from motionlab.datasets.layout_scenes import draw_scene
from motionlab.registry import CODECS
from motionlab.utils import ConfigError, DataError


def pictures(count: int = 2) -> torch.Tensor:
    return torch.from_numpy(np.stack([draw_scene(number) for number in range(count)]))


def test_shapes_and_what_a_picture_becomes():
    codec = CODECS.build(dict(type='LayoutCodec'))
    latents = codec.encode_images(pictures())
    assert latents.shape == (2, 16, 16, 16) and codec.pack(latents).shape == (2, 64, codec.in_channels)
    assert torch.equal(codec.unpack(codec.pack(latents), 16, 16), latents)
    images = codec.decode(latents)
    assert images.shape == (2, 3, 64, 64) and images.abs().max() <= 1
    assert (codec.to_uint8(images).int() - pictures().int()).abs().float().mean() < 8
    assert codec.image_ids(16, 16).shape == (64, 3) and not codec.text_ids(8).any()


def test_floats_in_range_and_bytes_are_the_same():
    codec = LayoutCodec()
    assert torch.equal(codec.encode_images(pictures()),
                       codec.encode_images(pictures().movedim(-1, 1).float() / 127.5 - 1))
    with pytest.raises(DataError, match='-1 to 1'):
        codec.encode_images(pictures().movedim(-1, 1).float())


def test_scale_and_shift_are_used_both_ways():
    codec = LayoutCodec()
    latents = codec.encode_images(pictures())
    z = codec.image.encode(pictures().movedim(-1, 1).float() / 127.5 - 1)
    assert torch.allclose(latents, (z - codec.image.shift) * codec.image.scale, atol=1e-5)
    assert torch.allclose(codec.decode_latents(latents), codec.image.decode(z), atol=1e-5)


def test_sizes_that_no_token_fills_are_refused():
    with pytest.raises(DataError, match='nearest valid size is 64 x 64'):
        LayoutCodec().encode_images(torch.zeros(1, 64, 60, 3, dtype=torch.uint8))
    with pytest.raises(DataError, match=r'\(B, 16, h, w\)'):
        LayoutCodec().decode_latents(torch.zeros(1, 8, 4, 4))


@pytest.mark.parametrize('checkpoint', [False, True])
def test_decoding_has_a_gradient_beyond_the_range_too(checkpoint):
    codec = LayoutCodec()
    latents = (20 * torch.ones(1, 16, 4, 4)).requires_grad_()
    images = codec.decode_latents(latents, checkpoint)
    assert images.abs().max() > 1
    images.square().sum().backward()
    assert (latents.grad.abs() > 0).all()


def test_no_part_is_trained_saved_or_listed():
    codec = LayoutCodec()
    assert not codec.state_dict() and not list(codec.parameters()) and len(list(codec.modules())) == 1
    assert not any(part.training for part in (codec.train().image, codec.references, codec.text))


def test_parts_go_where_the_codec_goes():
    codec = LayoutCodec().to('meta')
    assert codec.device.type == 'meta'
    assert {codec.image.kernels.device.type, codec.references.filters.device.type} == {'meta'}
    copy = LayoutCodec().double().float()
    assert torch.allclose(copy.encode_images(pictures()), LayoutCodec().encode_images(pictures()))


def test_autocast_changes_nothing():
    codec = LayoutCodec()
    with torch.autocast('cpu', torch.bfloat16):
        latents = codec.encode_images(pictures())
        assert latents.dtype == torch.float32 and torch.equal(latents, LayoutCodec().encode_images(pictures()))
        assert codec.encode_references(torch.rand(1, 3, 32, 32))[1].dtype == torch.float32
        crops = codec.crop_boxes(*(images := (torch.rand(1, 3, 64, 64), torch.tensor([[0.1, 0.2, 0.9, 0.7]]))))
    assert torch.equal(crops, codec.crop_boxes(*images))


def test_references_and_crops():
    codec, images = LayoutCodec(), torch.rand(2, 3, 64, 64)
    crops = codec.crop_boxes(images, torch.tensor([[0, 0, 0.5, 0.5], [0.2, 0.2, 1, 1]]))
    assert crops.shape == (2, 3, codec.size, codec.size)
    clip, dino = codec.encode_references(crops)
    assert clip.shape == (2, codec.clip_dim) and dino.shape == (2, codec.dino_dim)
    long = np.random.default_rng(0).integers(0, 255, (20, 60, 3)).astype(np.uint8)
    clip, dino = codec.encode_pictures([long, long[:, 20:40]])
    # CLIP sees the middle of a long picture, DINO the whole of it, squashed.
    assert clip[0] @ clip[1] > 0.999 > dino[0] @ dino[1]


def test_captions():
    codec = LayoutCodec()
    text, pooled = codec.encode_text(['red solid circle', 'square'])
    assert text.shape == (2, codec.text_tokens, codec.text_dim) and pooled.shape == (2, codec.pooled_dim)
    contents = codec.caption_contents(['red solid circle', 'square'])
    assert sorted(contents[0]) == ['clip_pooled_embeddings', 'clip_text_embeddings', 'global_caption',
                                   'pooled_embeddings', 't5_pooled_embeddings', 't5_text_embeddings',
                                   'text_embeddings']
    assert contents[1]['global_caption'] == 'square' and torch.equal(contents[1]['text_embeddings'][0], text[1])
    for caption in ('', '  '):
        with pytest.raises(DataError, match='not empty'):
            codec.encode_text([caption])


def test_the_contract_of_codecs():
    codec = LayoutCodec()
    encoded = codec.encode({keys.IMAGES: pictures()})
    assert torch.equal(encoded['inputs'], codec.pack(encoded[keys.LATENTS]))
    again = codec.encode({keys.LATENTS: encoded[keys.LATENTS].half()})
    assert again[keys.LATENTS].dtype == torch.float32
    with pytest.raises(DataError, match='one of them'):
        codec.encode({})
    assert not codec.needs_fit


def test_what_decides_about_latents_is_told():
    from motionlab.datasets.layout_meta import make_layout_meta
    described = LayoutCodec().describe()
    assert described['vae']['value_range'] == [-1, 1] and len(described['vae']['scale']) == 16
    assert described['dims'] == dict(latent_channels=16, clip=64, dino=128, text_tokens=8, text=32, pooled=4)
    make_layout_meta(**described, picture=dict(side=64, resize='squash', multiple=64))


def test_another_number_of_channels_is_refused(monkeypatch):
    from motionlab.codecs.dct_image_codec import DctImageCodec
    monkeypatch.setattr(DctImageCodec, 'latent_channels', 4)
    with pytest.raises(ConfigError, match='4 channels, expected 16'):
        LayoutCodec()
