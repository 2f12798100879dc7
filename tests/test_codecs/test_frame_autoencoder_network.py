"""The small autoencoder: sizes, and sizes read off weights."""

import pytest
import torch

from motionlab.codecs.frame_autoencoder_network import ConvBlock, FrameAutoencoderNetwork, assign_weights
from motionlab.utils import CheckpointError, ConfigError


@pytest.mark.parametrize(('widths', 'factor'), [((8,), 2), ((8, 12), 4), ((4, 8, 8), 8)])
def test_halves_once_per_stage(widths, factor):
    network = FrameAutoencoderNetwork(6, widths, num_blocks=2)
    images = torch.randn(2, 3, 16, 24)
    latents = network.encode(images)
    assert network.factor == factor and latents.shape == (2, 6, 16 // factor, 24 // factor)
    assert network(images).shape == images.shape and torch.equal(network(images), network.decode(latents))


def test_every_weight_matters():
    network = FrameAutoencoderNetwork(6, (8, 12))
    for block in network.modules():
        if isinstance(block, ConvBlock):
            torch.nn.init.ones_(block.conv2.weight)
    network(torch.randn(1, 3, 16, 16)).square().sum().backward()
    assert all(weight.grad.abs().sum() > 0 for weight in network.parameters())


def test_spread_is_kept_from_layer_to_layer_at_first():
    torch.manual_seed(0)
    network, x = FrameAutoencoderNetwork(48, (64, 64)), torch.randn(2, 3, 64, 64)
    for layer in (*network.encoder, *network.decoder):
        before, x = x, layer(x)
        assert 0.8 < x.std() / before.std() < 1.25
        assert not isinstance(layer, ConvBlock) or torch.equal(x, before)


@pytest.mark.parametrize(('widths', 'blocks', 'latent_channels'), [((8,), 1, 4), ((8, 12), 2, 5), ((4, 4, 8), 3, 8)])
def test_sizes_are_read_off_weights(widths, blocks, latent_channels):
    network = FrameAutoencoderNetwork(latent_channels, widths, blocks)
    again = FrameAutoencoderNetwork.from_weights(network.state_dict(), 'file')
    images = torch.randn(1, 3, 8, 8)
    assert (again.factor, again.latent_channels) == (network.factor, latent_channels)
    assert torch.equal(again(images), network(images))


@pytest.mark.parametrize('change', [
    lambda found: found.clear(), lambda found: found.pop('decoder.0.bias'), lambda found: found.pop('encoder.6.weight'),
    lambda found: found.update({'encoder.1.weight': torch.zeros(9, 12, 3, 3)}),
    lambda found: found.update(more=torch.ones(1))])
def test_other_weights_are_refused(change):
    weights = FrameAutoencoderNetwork(4, (8, 12)).state_dict()
    change(weights)
    with pytest.raises(CheckpointError, match=r'^some\.pth: '):
        FrameAutoencoderNetwork.from_weights(weights, 'some.pth')


def test_refusal_counts_and_names():
    with torch.device('meta'):
        layer = torch.nn.Linear(2, 3)
    with pytest.raises(CheckpointError, match=r'f: .* this Linear: 2 of 2 do not fit, first: bias is missing\.'):
        assign_weights(layer, {'weight': torch.zeros(2, 3)}, 'f')
    assign_weights(layer, {'weight': torch.ones(3, 2), 'bias': torch.zeros(3)}, 'f')
    assert layer(torch.ones(2)).tolist() == [2, 2, 2]


@pytest.mark.parametrize('options', [dict(widths=()), dict(widths=(8, 0)), dict(latent_channels=0), dict(num_blocks=0),
                                     dict(in_channels=4)])
def test_impossible_sizes_are_refused(options):
    with pytest.raises(ConfigError, match='FrameAutoencoderNetwork'):
        FrameAutoencoderNetwork(**options)
