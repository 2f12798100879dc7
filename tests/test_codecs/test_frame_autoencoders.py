"""Codecs of trained autoencoders: ranges, scaling, tuned decoders, sizes without weights."""

import pytest
import torch

from motionlab.codecs.diffusers_autoencoder import DEEP, TINY
from motionlab.codecs.frame_autoencoders import (
    DC_AE_CONFIGS,
    DC_AE_SCALING,
    DeepCompressionAutoencoder,
    ScratchAutoencoder,
    TinyAutoencoder,
)
from motionlab.registry import CODECS, MODELS
from motionlab.utils import CheckpointError, ConfigError
from tests.frame_autoencoders import (
    DEEP_IN,
    DEEP_SANA,
    autoencoder_config,
    make_autoencoder,
    pictures,
    save_autoencoder,
    save_trained,
    to_authors_names,
)
from tests.frame_autoencoders import TINY as TINY_OPTIONS


@pytest.fixture(scope='module')
def tiny_folder(tmp_path_factory):
    return save_autoencoder(tmp_path_factory.mktemp('tiny'), TINY, TINY_OPTIONS)


@pytest.fixture(scope='module')
def deep_folder(tmp_path_factory):
    return save_autoencoder(tmp_path_factory.mktemp('deep'), DEEP, DEEP_IN | {'scaling_factor': 0.3189})


def test_tiny_sizes_are_published():
    codec = TinyAutoencoder()
    assert (codec.latent_channels, codec.factor, codec.scaling_factor) == (4, 8, 1.0)
    assert 2.4e6 < sum(weight.numel() for weight in codec.network.parameters()) < 2.5e6


@pytest.mark.parametrize(('variant', 'millions'), [('sana-1.0', 312.25), ('in-1.0', 323.36), ('mix-1.0', 323.36)])
def test_deep_sizes_are_published(variant, millions):
    codec = DeepCompressionAutoencoder(variant=variant)
    assert (codec.latent_channels, codec.factor, codec.scaling_factor) == (32, 32, DC_AE_SCALING[variant])
    assert sum(weight.numel() for weight in codec.network.parameters()) / 1e6 == pytest.approx(millions, abs=0.01)


@pytest.mark.parametrize('kind', ['tiny', 'deep'])
def test_frames_go_in_and_out_in_the_full_range(kind, tiny_folder, deep_folder):
    codec = CODECS.build(dict(type='TinyAutoencoder', path=str(tiny_folder)) if kind == 'tiny' else
                         dict(type='DeepCompressionAutoencoder', path=str(deep_folder)))
    frames = pictures(2, 3, 8, 16)
    latents = codec.encode_frames(frames)
    scale, factor = (1.0, 2) if kind == 'tiny' else (0.3189, 4)
    assert latents.shape == (2, 3, 4, 8 // factor, 16 // factor)
    assert codec.check_size(8, 16) == latents.shape[-2:]
    with torch.no_grad():
        raw = codec.network.model.encode(codec.to_images(frames).flatten(0, 1), return_dict=False)[0]
        images = codec.network.model.decode(raw, return_dict=False)[0].unflatten(0, (2, 3))
    torch.testing.assert_close(latents.flatten(0, 1), raw * scale)
    torch.testing.assert_close(codec.decode_frames(latents), images.clamp(-1, 1), rtol=1e-4, atol=1e-5)


def test_normalised_in_place_of_scaled(deep_folder):
    codec, frames = DeepCompressionAutoencoder(deep_folder, normalise=True), pictures(6, 16, 16)
    codec.fit([{'target': frames}])
    latents = codec.encode_frames(frames)
    assert codec.scaling_factor == 1 and set(codec.state_dict()) == {f'statistics.{name}' for name in
                                                                     ('mean', 'std', 'fitted')}
    torch.testing.assert_close(latents.std((0, 2, 3), correction=0), torch.ones(4), rtol=1e-3, atol=1e-3)
    with torch.no_grad():
        expected = codec.network.decode(codec.raw_latents(frames)).clamp(-1, 1)
    torch.testing.assert_close(codec.decode_frames(latents), expected, rtol=1e-4, atol=1e-4)


def test_variant_tells_the_scaling_of_a_bare_file(tmp_path):
    weights = to_authors_names(make_autoencoder(DEEP, DEEP_SANA).state_dict())
    torch.save(weights, tmp_path / 'sana.pt')
    codec = DeepCompressionAutoencoder(tmp_path / 'sana.pt', 'sana-1.0', DEEP_SANA)
    assert codec.scaling_factor == 0.41407
    frames = pictures(1, 8, 8)
    torch.testing.assert_close(codec.encode_frames(frames), 0.41407 * codec.raw_latents(frames))
    for variant, config in DC_AE_CONFIGS.items():
        assert ('interpolate' in config.values()) == (variant == 'sana-1.0')


def test_unknown_or_contradicting_scaling_is_refused(tmp_path, deep_folder):
    with pytest.raises(ConfigError, match=r"variant='sana-1\.0' needs 0\.41407"):
        DeepCompressionAutoencoder(deep_folder, 'sana-1.0')
    with pytest.raises(ConfigError, match=r"expected one of \['sana-1\.0', 'in-1\.0', 'mix-1\.0'\]"):
        DeepCompressionAutoencoder(deep_folder, 'in-2.0')
    save_autoencoder(tmp_path, DEEP, DEEP_SANA)
    with pytest.raises(ConfigError, match=r'no scaling_factor\. Say which weights these are'):
        DeepCompressionAutoencoder(tmp_path)
    assert DeepCompressionAutoencoder(tmp_path, normalise=True).needs_fit
    assert DeepCompressionAutoencoder(tmp_path, 'mix-1.0').scaling_factor == 0.4552


def test_shifted_latents_need_statistics():
    with pytest.raises(ConfigError, match=r'shift_factor=0\.2, expected 0\. Set normalise=True'):
        TinyAutoencoder(config={'shift_factor': 0.2})
    assert TinyAutoencoder(config={'shift_factor': 0.2}, normalise=True).needs_fit


def tuned(path, folder, decoder_only=True, encoder_shift=0.0):
    """A checkpoint of a FrameAutoencoder on the tiny network whose decoder has changed."""
    model = MODELS.build(autoencoder_config(backbone=dict(type='DiffusersAutoencoder', path=str(folder)),
                                            decoder_only=decoder_only))
    with torch.no_grad():
        model.backbone.decoder.layers[-1].bias += 0.25
        model.backbone.encoder.layers[0].bias += encoder_shift
    torch.save({'state_dict': model.state_dict()}, path)
    return path


def test_tuned_decoder_leaves_latents_and_hash(tiny_folder, tmp_path):
    plain = TinyAutoencoder(tiny_folder)
    codec = TinyAutoencoder(tiny_folder, decoder=tuned(tmp_path / 'tuned.pth', tiny_folder))
    frames = pictures(2, 8, 8)
    assert codec.content_hash() == plain.content_hash()
    latents = codec.encode_frames(frames)
    assert torch.equal(latents, plain.encode_frames(frames))
    with torch.no_grad():
        difference = codec.network.decode(latents) - plain.network.decode(latents)
    torch.testing.assert_close(difference, torch.full_like(difference, 0.5))  # TAESD ends with 2 x - 1.
    assert not any(weight.requires_grad for weight in codec.network.parameters())


def test_decoder_for_other_latents_is_refused(tiny_folder, tmp_path):
    path = tuned(tmp_path / 'all.pth', tiny_folder, decoder_only=False, encoder_shift=0.01)
    with pytest.raises(CheckpointError, match=r'all\.pth: its decoder was tuned for another encoder: 1 weights .*'
                                              r'encoder\.layers\.0\.bias\. Tune it with decoder_only=True'):
        TinyAutoencoder(tiny_folder, decoder=path)
    with pytest.raises(CheckpointError, match='tuned for another encoder'):
        TinyAutoencoder(tiny_folder, decoder=save_trained(tmp_path / 'scratch.pth'))
    torch.save({'state_dict': {'head.weight': torch.zeros(1)}}, tmp_path / 'none.pth')
    with pytest.raises(CheckpointError, match=r'no weights of a FrameAutoencoder \(none begins with backbone\.\)'):
        TinyAutoencoder(tiny_folder, decoder=tmp_path / 'none.pth')


def test_scratch_codec_is_the_trained_network(tmp_path):
    path = save_trained(tmp_path / 'iter_8.pth')
    model = MODELS.build(autoencoder_config())
    model.load_state_dict(torch.load(path, weights_only=True)['state_dict'])
    codec, frames = CODECS.build(dict(type='ScratchAutoencoder', path=str(path))), pictures(3, 8, 16)
    assert (codec.factor, codec.latent_channels, codec.needs_fit) == (4, 4, True)
    codec.fit([{'target': frames}])
    images = codec.decode_frames(codec.encode_frames(frames))
    with torch.no_grad():
        expected = model.run_network(codec.to_images(frames)).clamp(-1, 1)
    torch.testing.assert_close(images, expected, rtol=1e-4, atol=1e-5)
    assert codec.content_hash() == ScratchAutoencoder(path, normalise=False).content_hash()
    assert codec.content_hash() != ScratchAutoencoder(save_trained(tmp_path / 'other.pth', seed=1)).content_hash()


def test_scratch_sizes_without_weights(tmp_path):
    codec = ScratchAutoencoder(config=dict(latent_channels=6, widths=(8, 8, 8)))
    assert (codec.factor, codec.latent_channels, codec.has_weights) == (8, 6, False)
    with pytest.raises(ConfigError, match='the checkpoint tells all sizes'):
        ScratchAutoencoder(save_trained(tmp_path / 'a.pth'), config=dict(latent_channels=6))
    with pytest.raises(CheckpointError, match='found no file'):
        ScratchAutoencoder(tmp_path / 'b.pth')
