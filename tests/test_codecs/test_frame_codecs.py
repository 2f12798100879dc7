"""Frames to latents and back: exact pixels, checked ranges and sizes, a network that nothing trains."""

import copy

import pytest
import torch
from torch import nn

from motionlab.codecs import FrameCodec, SpaceToDepth
from motionlab.codecs.image_range import check_frame_size
from motionlab.utils import ConfigError, DataError
from tests.frame_autoencoders import pictures


class Halving(nn.Module):
    """Stands for an autoencoder: a strided convolution, dropout, and back."""

    factor, latent_channels, encoder_config = 2, 5, {'kind': 'halving'}

    def __init__(self, seed: int = 0):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = nn.Sequential(nn.Conv2d(3, 5, 2, 2), nn.Dropout(0.5))
            self.decoder = nn.ConvTranspose2d(5, 3, 2, 2)

    def encode(self, images):
        return self.encoder(images)

    def decode(self, latents):
        return self.decoder(latents)


@pytest.mark.parametrize('options', [{}, {'patch': 2}, {'patch': 1}, {'scaling_factor': 0.7}])
def test_pixels_survive_exactly(options):
    codec, frames = SpaceToDepth(**options), pictures(2, 3, 16, 8)
    latents = codec.encode_frames(frames)
    patch = options.get('patch', 4)
    assert latents.shape == (2, 3, 3 * patch**2, 16 // patch, 8 // patch) and latents.dtype == torch.float32
    assert codec.in_channels == codec.out_channels == codec.latent_channels == latents.shape[2]
    images = codec.decode_frames(latents)
    assert torch.equal(codec.to_uint8(images), frames)
    if 'scaling_factor' not in options:
        assert torch.equal(images, codec.to_images(frames))


def test_every_level_of_grey_survives_normalisation():
    frames = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).expand(1, 16, 16, 3).contiguous()
    codec = SpaceToDepth(normalise=True)
    codec.fit([{'target': frames}])
    assert torch.equal(codec.to_uint8(codec.decode_frames(codec.encode_frames(frames))), frames)


def test_channels_are_colour_row_column():
    frames = pictures(1, 4, 4)
    latents = SpaceToDepth(patch=2).encode_frames(frames)
    for channel in (0, 3, 7, 10):
        colour, row, column = channel // 4, channel // 2 % 2, channel % 2
        assert latents[0, channel, 1, 0] == frames[0, 2 + row, column, colour] / 127.5 - 1


@pytest.mark.parametrize('frames', [
    torch.full((1, 3, 8, 8), 1.01), torch.full((1, 3, 8, 8), -1.5), torch.full((1, 3, 8, 8), 255.0),
    torch.full((1, 3, 8, 8), torch.nan), torch.full((1, 3, 8, 8), torch.inf)])
def test_floats_outside_the_range_are_refused(frames):
    with pytest.raises(DataError, match=r'range: found .* expected -1 to 1\. Black is -1'):
        SpaceToDepth().encode_frames(frames)


def test_one_pixel_outside_the_range_is_found():
    frames = torch.zeros(2, 3, 8, 8)
    frames[1, 2, 7, 3] = 1.5
    with pytest.raises(DataError, match=r'found 0 to 1\.5'):
        SpaceToDepth().encode_frames(frames)


@pytest.mark.parametrize('frames', [
    torch.zeros(1, 8, 8, 4, dtype=torch.uint8), torch.zeros(1, 3, 8, 8, dtype=torch.uint8),
    torch.zeros(1, 8, 8, 3, dtype=torch.int64), torch.zeros(1, 8, 8, 3), torch.zeros(8, 3)])
def test_other_types_and_shapes_are_refused(frames):
    with pytest.raises(DataError, match=r'type and shape: .* expected uint8 \(\.\.\., H, W, 3\) or floats'):
        SpaceToDepth().encode_frames(frames)


@pytest.mark.parametrize(('size', 'factor', 'nearest'), [
    ((64, 62), 4, '64 x 64'), ((250, 160), 32, '256 x 160'), ((3, 33), 8, '8 x 32'), ((0, 8), 8, '8 x 8')])
def test_sizes_name_the_nearest_valid(size, factor, nearest):
    with pytest.raises(DataError, match=rf'game: .*found {size[0]} x {size[1]} px, expected multiples of {factor} px\. '
                                        rf'The nearest valid size is {nearest}\.'):
        check_frame_size(*size, factor, 'game')
    check_frame_size(*(int(side) for side in nearest.split(' x ')), factor)


def test_frames_of_a_wrong_size_are_refused():
    codec = SpaceToDepth(patch=4)
    assert codec.check_size(64, 32) == (16, 8)
    for frames in (pictures(1, 62, 64), codec.to_images(pictures(1, 64, 64))[..., :62]):
        with pytest.raises(DataError, match='nearest valid size is 64 x 64'):
            codec.encode_frames(frames)


def test_decoded_images_are_clamped_and_differentiable():
    codec = FrameCodec(Halving())
    latents = (20 * torch.randn(2, 5, 4, 4)).requires_grad_()
    images = codec.decode_frames(latents)
    assert images.shape == (2, 3, 8, 8) and images.min() == -1 and images.max() == 1
    images.sum().backward()
    assert latents.grad.abs().sum() > 0


def test_uint8_rounds_and_clamps():
    images = torch.tensor([-2.0, -1.0, -1 + 1.4 / 127.5, -1 + 1.6 / 127.5, 1.0, 3.0]).reshape(6, 1, 1, 1)
    found = SpaceToDepth().to_uint8(images.expand(6, 3, 1, 1))
    assert found.dtype == torch.uint8 and found[:, 0, 0, 0].tolist() == [0, 0, 1, 2, 255, 255]


def test_network_is_frozen_and_hidden():
    codec = FrameCodec(Halving())
    assert not list(codec.parameters()) and not codec.state_dict()
    codec.train()
    frames = pictures(2, 8, 8)
    assert torch.equal(codec.encode_frames(frames), codec.encode_frames(frames))  # Dropout is off.
    assert not codec.encode_frames(frames).requires_grad
    assert not any(weight.requires_grad for weight in codec.network.parameters())


def test_network_moves_with_the_codec():
    codec = nn.Sequential(FrameCodec(Halving(), normalise=True))
    codec.to(torch.float64)
    assert codec[0].network.decoder.weight.dtype == codec[0].statistics.std.dtype == torch.float64
    codec.to('meta')
    assert codec[0].network.decoder.weight.is_meta


def test_copies_do_not_share_weights():
    codec = FrameCodec(Halving())
    copied = copy.deepcopy(codec)
    with torch.no_grad():
        copied.network.decoder.weight.add_(1)
    assert not torch.equal(codec.network.decoder.weight, copied.network.decoder.weight)


def test_parts_of_a_large_batch_are_those_of_a_small_one(monkeypatch):
    codec, frames = FrameCodec(Halving()), pictures(5, 2, 8, 4)
    latents = codec.encode_frames(frames)
    images = codec.decode_frames(latents)
    monkeypatch.setattr('motionlab.codecs.frame_codecs._PIXELS_AT_ONCE', 3 * 32)
    torch.testing.assert_close(codec.encode_frames(frames), latents)
    torch.testing.assert_close(codec.decode_frames(latents), images)


def test_autocast_changes_nothing():
    codec, frames = FrameCodec(Halving()), pictures(2, 8, 8)
    latents = codec.encode_frames(frames)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(codec.encode_frames(frames), latents)
        assert codec.decode_frames(latents).dtype == torch.float32
        assert torch.equal(codec.decode_frames(latents), codec.decode_frames(latents.clone()))


def test_half_precision_network_gives_float32():
    codec, frames = FrameCodec(Halving()), pictures(2, 8, 8)
    latents = codec.encode_frames(frames)
    codec.to(torch.bfloat16)
    assert codec.encode_frames(frames).dtype == torch.float32
    torch.testing.assert_close(codec.encode_frames(frames), latents, rtol=0.05, atol=0.05)


def test_batch_is_encoded_where_it_holds_no_latents():
    codec = FrameCodec(Halving(), scaling_factor=2.0)
    batch = {'history': pictures(2, 3, 8, 8), 'target': pictures(2, 8, 8, seed=1), 'actions': torch.zeros(2, 3)}
    encoded = codec.encode(batch)
    assert 'history_latents' not in batch and encoded['actions'] is batch['actions']
    assert torch.equal(encoded['history_latents'], codec.encode_frames(batch['history']))
    assert torch.equal(encoded['target_latents'], 2 * codec.raw_latents(batch['target']))


def test_latents_of_a_cache_are_raw():
    codec = FrameCodec(Halving(), normalise=True)
    frames = {'history': pictures(2, 3, 8, 8), 'target': pictures(2, 8, 8, seed=1)}
    raw = {f'{key}_latents': codec.raw_latents(value).half() for key, value in frames.items()}
    codec.fit([frames])
    expected, found = codec.encode(frames), codec.encode(raw)
    for key, value in raw.items():
        assert found[key].dtype == torch.float32
        torch.testing.assert_close(found[key], expected[key], rtol=2e-3, atol=2e-3)
        assert value.dtype == torch.float16
    assert 'target_latents' not in codec.encode({'history': frames['history']})


def test_cached_latents_fit_the_same_statistics():
    one, other, frames = FrameCodec(Halving(), normalise=True), FrameCodec(Halving(), normalise=True), pictures(4, 8, 8)
    assert one.needs_fit
    one.fit([{'target': frames, 'history': pictures(4, 1, 8, 8, seed=3)}])
    other.fit([{'target_latents': other.raw_latents(frames)}])
    assert not one.needs_fit
    torch.testing.assert_close(one.statistics.std, other.statistics.std)
    other.fit([{'history': frames[:, None]}])
    torch.testing.assert_close(one.statistics.mean, other.statistics.mean)


def test_latents_of_another_codec_are_refused():
    codec = FrameCodec(Halving())
    for latents in (torch.zeros(2, 4, 4, 4), torch.zeros(5, 4), torch.zeros(2, 5, 4, 4, dtype=torch.long)):
        with pytest.raises(DataError, match=r'history_latents: .* expected floats \(\.\.\., 5, h, w\)'):
            codec.encode({'history_latents': latents})
        with pytest.raises(DataError, match='expected floats'):
            codec.decode(latents)


def test_hash_tells_what_decides_about_latents():
    codec = FrameCodec(Halving())
    same = FrameCodec(Halving(), normalise=True)
    assert codec.content_hash() == same.content_hash() and len(codec.content_hash()) == 16
    with torch.no_grad():
        same.network.decoder.weight.add_(1)
    same.fit([{'target': pictures(2, 8, 8)}])
    assert codec.content_hash() == same.content_hash()
    with torch.no_grad():
        same.network.encoder[0].bias[0] += 1e-6
    hashes = {codec.content_hash(), same.content_hash(), FrameCodec(Halving(1)).content_hash(),
              *(SpaceToDepth(patch=patch).content_hash() for patch in (1, 2, 4))}
    other = FrameCodec(Halving())
    other.network.encoder_config = {'kind': 'another'}
    assert len(hashes | {other.content_hash()}) == 7


def test_sizes_without_weights():
    with torch.device('meta'):
        network = Halving()
    codec = FrameCodec(network)
    assert not codec.has_weights and codec.to(torch.float64).check_size(4, 6) == (2, 3)
    for use in (lambda: codec.encode_frames(pictures(1, 8, 8)), lambda: codec.decode_frames(torch.zeros(1, 5, 4, 4)),
                codec.content_hash):
        with pytest.raises(ConfigError, match=r'has sizes but no weights\. Set codec\.path'):
            use()


@pytest.mark.parametrize('options', [dict(scaling_factor=0.0), dict(scaling_factor=-1.0), dict(patch=0),
                                     dict(scaling_factor=1.0, normalise=True)])
def test_contradicting_options_are_refused(options):
    with pytest.raises(ConfigError, match='SpaceToDepth'):
        SpaceToDepth(**options)


def test_nothing_to_fit_without_normalisation():
    codec = SpaceToDepth()
    assert not codec.needs_fit
    with pytest.raises(ConfigError, match='no statistics to fit'):
        codec.fit([])
