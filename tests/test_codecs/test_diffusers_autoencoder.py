"""Autoencoders of diffusers from local files: their own numbers, both layouts of DC-AE, nothing half loaded."""

import json
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from motionlab.codecs.diffusers_autoencoder import DEEP, TINY, DiffusersAutoencoder
from motionlab.utils import CheckpointError, ConfigError
from tests.frame_autoencoders import DEEP_IN, DEEP_SANA, make_autoencoder, save_autoencoder, to_authors_names
from tests.frame_autoencoders import TINY as TINY_OPTIONS

CASES = {'tiny': (TINY, TINY_OPTIONS, 2), 'in': (DEEP, DEEP_IN, 4), 'sana': (DEEP, DEEP_SANA, 2)}
WEIGHTS = 'diffusion_pytorch_model.safetensors'


def images(size: int = 8) -> torch.Tensor:
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize('case', CASES)
def test_folder_gives_what_diffusers_gives(case, tmp_path):
    kind, options, factor = CASES[case]
    expected = make_autoencoder(kind, options)
    expected.save_pretrained(tmp_path)
    network = DiffusersAutoencoder(kind, tmp_path).eval()
    assert (network.latent_channels, network.factor, network.in_channels, network.out_channels) == (4, factor, 3, 3)
    with torch.no_grad():
        latents = expected.encode(images()).latent if kind == DEEP else expected.encode(images()).latents
        assert torch.equal(network.encode(images()), latents)
        assert torch.equal(network.decode(latents), expected.decode(latents).sample)
        assert torch.equal(network(images()), network.decode(latents))
    assert latents.shape == (2, 4, 8 // factor, 8 // factor)


@pytest.mark.parametrize('case', ['in', 'sana'])
@pytest.mark.parametrize('wrapper', [None, 'state_dict'])
def test_file_with_the_authors_names(case, wrapper, tmp_path):
    kind, options, _ = CASES[case]
    expected = make_autoencoder(kind, options)
    weights = to_authors_names(expected.state_dict())
    assert any(name.startswith('encoder.stages.') for name in weights) and not weights.keys() & expected.state_dict()
    path = tmp_path / ('model.pt' if wrapper else 'model.safetensors')
    if wrapper:
        torch.save({wrapper: weights, 'epoch': 3}, path)
    else:
        save_file({name: value.contiguous() for name, value in weights.items()}, path)
    network = DiffusersAutoencoder(kind, path, options).eval()
    found = network.model.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in expected.state_dict().items())
    with torch.no_grad():
        assert torch.equal(network(images()), expected(images()).sample)


def test_layouts_of_dc_ae_are_not_taken_for_each_other(tmp_path):
    weights = to_authors_names(make_autoencoder(DEEP, DEEP_IN).state_dict())
    torch.save(weights, tmp_path / 'in.pt')
    with pytest.raises(CheckpointError, match=r'in\.pt: does not hold the weights of this AutoencoderDC: \d+ of'):
        DiffusersAutoencoder(DEEP, tmp_path / 'in.pt', DEEP_SANA)


def test_weights_of_torch_save_in_a_folder(tmp_path):
    save_autoencoder(tmp_path, TINY, TINY_OPTIONS)
    weights = load_file(tmp_path / WEIGHTS)
    (tmp_path / WEIGHTS).unlink()
    torch.save(weights, tmp_path / 'diffusion_pytorch_model.bin')
    found = DiffusersAutoencoder(TINY, tmp_path).model.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in weights.items())


def test_sizes_without_weights_take_no_memory():
    network = DiffusersAutoencoder(DEEP)
    assert (network.latent_channels, network.factor) == (32, 32)
    assert all(weight.is_meta for weight in network.parameters())


def test_loading_ignores_the_default_device(tmp_path):
    save_autoencoder(tmp_path, TINY, TINY_OPTIONS)
    with torch.device('meta'):
        network = DiffusersAutoencoder(TINY, tmp_path)
    assert not any(weight.is_meta for weight in network.parameters())


def test_what_decides_about_latents_is_told():
    one = DiffusersAutoencoder(TINY, config=TINY_OPTIONS).encoder_config
    assert json.loads(json.dumps(one)) == one
    narrow = TINY_OPTIONS | {'decoder_block_out_channels': (4, 4)}
    assert DiffusersAutoencoder(TINY, config=narrow).encoder_config == one
    assert DiffusersAutoencoder(TINY, config=TINY_OPTIONS | {'act_fn': 'silu'}).encoder_config != one
    deep = DiffusersAutoencoder(DEEP, config=DEEP_SANA).encoder_config
    assert DiffusersAutoencoder(DEEP, config=DEEP_SANA | {'scaling_factor': 0.3}).encoder_config == deep
    assert DiffusersAutoencoder(DEEP, config=DEEP_SANA | {'encoder_out_shortcut': False}).encoder_config != deep


@pytest.mark.parametrize(('change', 'said'), [
    (lambda found: found.pop('decoder.layers.0.weight'), 'decoder.layers.0.weight is missing'),
    (lambda found: found.update(stray=torch.zeros(1)), 'stray is unknown'),
    (lambda found: found.update({'encoder.layers.0.bias': torch.zeros(3)}), r'has shape \(3,\), expected \(8,\)')])
def test_weights_that_do_not_fit_are_named(change, said, tmp_path):
    save_autoencoder(tmp_path, TINY, TINY_OPTIONS)
    weights = load_file(tmp_path / WEIGHTS)
    change(weights)
    save_file(weights, tmp_path / WEIGHTS)
    with pytest.raises(CheckpointError, match=rf'1 of \d+ do not fit, first: .*{said}'):
        DiffusersAutoencoder(TINY, tmp_path)


def test_files_that_are_missing_or_of_another_kind(tmp_path):
    with pytest.raises(CheckpointError, match=r'nowhere: found no file'):
        DiffusersAutoencoder(TINY, tmp_path / 'nowhere')
    with pytest.raises(CheckpointError, match=r'no config\.json here'):
        DiffusersAutoencoder(TINY, tmp_path)
    save_autoencoder(tmp_path, TINY, TINY_OPTIONS)
    with pytest.raises(CheckpointError, match='describes a AutoencoderTiny, expected AutoencoderDC'):
        DiffusersAutoencoder(DEEP, tmp_path)
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match=r'none of diffusion_pytorch_model\.safetensors.* is here'):
        DiffusersAutoencoder(TINY, tmp_path)
    (tmp_path / 'config.json').write_text('{')
    with pytest.raises(CheckpointError, match=r'config\.json: cannot be read as JSON'):
        DiffusersAutoencoder(TINY, tmp_path)
    torch.save([torch.zeros(1)], tmp_path / 'list.pt')
    with pytest.raises(CheckpointError, match='holds no dict of weights'):
        DiffusersAutoencoder(TINY, tmp_path / 'list.pt')


def test_unknown_option_of_a_folder_is_named(tmp_path):
    save_autoencoder(tmp_path, TINY, TINY_OPTIONS)
    config = json.loads((tmp_path / 'config.json').read_text())
    (tmp_path / 'config.json').write_text(json.dumps(config | {'use_magic': True}))
    with pytest.raises(ConfigError, match=r"AutoencoderTiny cannot be built from .*argument 'use_magic'"):
        DiffusersAutoencoder(TINY, tmp_path)


@pytest.mark.parametrize('options', [
    dict(kind='AutoencoderKL'), dict(config={'no_such_option': 1}), dict(config={'num_encoder_blocks': (1,)}),
    dict(config={'in_channels': 4}), dict(in_channels=12)])
def test_contradicting_options_are_refused(options):
    with pytest.raises(ConfigError, match='DiffusersAutoencoder'):
        DiffusersAutoencoder(**options)


def test_nothing_in_a_file_is_executed(tmp_path):
    class Evil:
        def __reduce__(self):
            return print, ('executed',)

    torch.save({'weight': Evil()}, tmp_path / 'evil.pt')
    with pytest.raises(CheckpointError, match='holds no dict of weights'):
        DiffusersAutoencoder(TINY, tmp_path / 'evil.pt', TINY_OPTIONS)


def test_missing_diffusers_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, 'diffusers', None)
    with pytest.raises(ConfigError, match=r"package diffusers .* pip install 'motionlab\[sana\]'"):
        DiffusersAutoencoder(TINY)
