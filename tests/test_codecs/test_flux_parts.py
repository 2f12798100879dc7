"""The parts of the codec that are read from folders: FLUX's autoencoder, CLIP, DINO and T5, tiny and random here."""

import json
import re
import sys

import numpy as np
import pytest
import torch

from motionlab.codecs import ClipDinoReferences, FluxAutoencoder, FluxTextEncoders, LayoutCodec
from motionlab.utils import CheckpointError, ConfigError
from tests.flux_folders import write_autoencoder, write_reference_encoders, write_text_encoders


@pytest.fixture(scope='module')
def flux(tmp_path_factory):
    folder = tmp_path_factory.mktemp('flux')
    write_autoencoder(folder)
    write_text_encoders(folder)
    write_reference_encoders(folder)
    return folder


@pytest.fixture(scope='module')
def codec(flux):
    return LayoutCodec(
        image=dict(type='FluxAutoencoder', path=flux),
        references=dict(type='ClipDinoReferences', clip_path=flux / 'clip', dino_path=flux / 'dino', size=28),
        text=dict(type='FluxTextEncoders', clip_path=flux / 'text_encoder', t5_path=flux / 'text_encoder_2',
                  num_tokens=6, dtype='float32'))


def test_latents_are_the_shifted_and_scaled_mean(codec, flux):
    from diffusers import AutoencoderKL
    vae = AutoencoderKL.from_pretrained(flux / 'vae').eval()
    images = torch.randint(0, 256, (2, 32, 48, 3), dtype=torch.uint8)
    with torch.no_grad():
        mean = vae.encode(images.movedim(-1, 1) / 127.5 - 1).latent_dist.mean
        latents = codec.encode_images(images)
        assert latents.shape == (2, 16, 4, 6) and torch.allclose(latents, (mean - 0.1159) * 0.3611, atol=1e-5)
        expected = vae.decode(latents / 0.3611 + 0.1159).sample
        assert torch.allclose(codec.decode_latents(latents), expected, atol=1e-5)
    assert codec.describe()['vae'] == dict(id='black-forest-labs/FLUX.1-dev', scale=0.3611, shift=0.1159,
                                           value_range=[-1, 1], factor=8)


def test_gradients_go_through_frozen_weights(codec):
    latents = torch.randn(1, 16, 4, 4, requires_grad=True)
    gradients = []
    for checkpoint in (False, True):
        crops = codec.crop_boxes(codec.decode_latents(latents, checkpoint), torch.tensor([[0.1, 0.1, 0.9, 0.9]]))
        gradients += torch.autograd.grad(codec.encode_dino((crops + 1) / 2)[0, 0], latents)
    assert gradients[0].abs().max() > 0 and torch.allclose(*gradients, atol=1e-7)
    assert not any(weight.requires_grad for weight in codec.image.network('vae', None).parameters())


def test_embeddings_are_those_of_transformers(codec, flux):
    from transformers import CLIPModel, Dinov2Model
    picture = np.random.default_rng(0).integers(60, 200, (28, 28, 3)).astype(np.uint8)
    clip, dino = codec.encode_pictures([picture])
    pixels = torch.from_numpy(picture).movedim(-1, 0)[None] / 255

    def normalised(mean, std):
        return (pixels - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)

    with torch.no_grad():
        model = CLIPModel.from_pretrained(flux / 'clip').eval()
        pooled = model.vision_model(normalised((0.48145466, 0.4578275, 0.40821073),
                                               (0.26862954, 0.26130258, 0.27577711))).pooler_output
        assert torch.allclose(clip, torch.nn.functional.normalize(model.visual_projection(pooled)), atol=1e-5)
        model = Dinov2Model.from_pretrained(flux / 'dino').eval()
        pooled = model(normalised((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))).pooler_output
        assert torch.allclose(dino, torch.nn.functional.normalize(pooled), atol=1e-5)
    assert (codec.clip_dim, codec.dino_dim) == (clip.shape[1], dino.shape[1]) == (12, 20)


def test_captions_are_encoded_as_by_flux_s_pipeline(codec, flux, monkeypatch):
    from transformers import AutoTokenizer, CLIPTextModel, T5EncoderModel
    captions, said = ['red circle', 'a blue square, red red red red'], []
    monkeypatch.setattr('motionlab.codecs.flux_text_encoders.print_log', lambda text, *_: said.append(text))
    text, pooled = codec.encode_text(captions)
    assert text.shape == (2, 6, codec.text_dim) and pooled.shape == (2, codec.pooled_dim)
    assert said == ['1 of 2 captions have more than the 6 tokens of t5 and are cut off']
    options = dict(padding='max_length', truncation=True, return_tensors='pt')
    with torch.no_grad():
        tokens = AutoTokenizer.from_pretrained(flux / 'tokenizer_2')(captions, max_length=6, **options).input_ids
        assert torch.allclose(text, T5EncoderModel.from_pretrained(flux / 'text_encoder_2')(tokens)[0], atol=1e-5)
        tokens = AutoTokenizer.from_pretrained(flux / 'tokenizer')(captions, max_length=77, **options).input_ids
        clip = CLIPTextModel.from_pretrained(flux / 'text_encoder')(tokens)
        assert torch.allclose(pooled, clip.pooler_output, atol=1e-5)
    content, = codec.caption_contents(captions[:1])
    assert torch.allclose(content['clip_text_embeddings'], clip.last_hidden_state[:1], atol=1e-5)
    assert torch.allclose(content['t5_pooled_embeddings'][0], text[0].mean(0), atol=1e-5)
    assert content['text_embeddings'] is content['t5_text_embeddings']


def test_sizes_are_known_and_weights_asked_for_when_needed():
    full = LayoutCodec(image=dict(type='FluxAutoencoder'), references=dict(type='ClipDinoReferences'),
                       text=dict(type='FluxTextEncoders'))
    assert full.describe()['dims'] == dict(latent_channels=16, clip=512, dino=1024, text_tokens=512, text=4096,
                                           pooled=768)
    assert full.factor == 8 and full.size == 224
    for call, field in ((lambda: full.encode_images(torch.zeros(1, 16, 16, 3, dtype=torch.uint8)), 'image.path'),
                        (lambda: full.encode_clip(torch.zeros(1, 3, 224, 224)), 'references.clip_path'),
                        (lambda: full.encode_dino(torch.zeros(1, 3, 224, 224)), 'references.dino_path'),
                        (lambda: full.encode_text(['a']), 'text.t5_path')):
        with pytest.raises(ConfigError, match=rf'Set codec\.{field}'):
            call()


@pytest.mark.parametrize(('part', 'field'), [(FluxAutoencoder, 'path'), (ClipDinoReferences, 'clip_path'),
                                             (ClipDinoReferences, 'dino_path'), (FluxTextEncoders, 't5_path')])
def test_a_wrong_folder_is_refused_at_once(part, field, tmp_path):
    with pytest.raises(CheckpointError, match=r'no config\.json here'):
        part(**{field: tmp_path})


def test_an_autoencoder_without_a_shift_is_refused(tmp_path):
    write_autoencoder(tmp_path, shift_factor=None)
    with pytest.raises(CheckpointError, match=r'shift_factor: found None'):
        FluxAutoencoder(tmp_path)
    path = tmp_path / 'vae/config.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | dict(_class_name='AutoencoderTiny')))
    with pytest.raises(CheckpointError, match='describes a AutoencoderTiny, expected AutoencoderKL'):
        FluxAutoencoder(tmp_path)


def test_missing_weights_are_named(flux, tmp_path):
    from safetensors.torch import load_file, save_file
    (tmp_path / 'vae').mkdir()
    (tmp_path / 'vae/config.json').write_text((flux / 'vae/config.json').read_text())
    weights = load_file(flux / 'vae/diffusion_pytorch_model.safetensors')
    removed = sorted(weights)[0]
    save_file({name: value for name, value in weights.items() if name != removed},
              tmp_path / 'vae/diffusion_pytorch_model.safetensors')
    with pytest.raises(CheckpointError, match=re.escape(removed)):
        LayoutCodec(image=dict(type='FluxAutoencoder', path=tmp_path)).decode_latents(torch.zeros(1, 16, 2, 2))


def test_options_are_checked(flux):
    with pytest.raises(ConfigError, match="found 'float64'"):
        FluxAutoencoder(dtype='float64')
    with pytest.raises(CheckpointError, match='takes pictures of 28 px, but size=224'):
        ClipDinoReferences(flux / 'clip')
    with pytest.raises(ConfigError, match='num_tokens'):
        FluxTextEncoders(num_tokens=0)


def test_precision_is_the_part_s_own(flux):
    codec = LayoutCodec(image=dict(type='FluxAutoencoder', path=flux, dtype='bfloat16')).double()
    found = codec.decode_latents(torch.zeros(1, 16, 2, 2))
    assert found.dtype == torch.float32
    assert {weight.dtype for weight in codec.image.network('vae', None).parameters()} == {torch.bfloat16}


def test_a_missing_package_is_named_with_its_extra(flux, monkeypatch):
    monkeypatch.setitem(sys.modules, 'diffusers', None)
    monkeypatch.setitem(sys.modules, 'transformers', None)
    codec = LayoutCodec(image=dict(type='FluxAutoencoder', path=flux),
                        references=dict(type='ClipDinoReferences', clip_path=flux / 'clip', size=28),
                        text=dict(type='FluxTextEncoders', t5_path=flux / 'text_encoder_2'))
    for call in (lambda: codec.decode_latents(torch.zeros(1, 16, 2, 2)), lambda: codec.encode_text(['red']),
                 lambda: codec.encode_clip(torch.zeros(1, 3, 28, 28))):
        with pytest.raises(ConfigError, match=r"pip install 'motionlab\[flux\]'"):
            call()
