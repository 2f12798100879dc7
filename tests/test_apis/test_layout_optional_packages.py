"""Layout generation without peft, diffusers or transformers, up to the point where each is needed."""

import pytest
import torch

from tests.absent_packages import check_extras, said_by
from tests.flux_folders import write_autoencoder, write_reference_encoders, write_text_encoders

PROGRAM = '''
import importlib

hide('peft', 'diffusers', 'transformers')
import motionlab
for room in ('codecs', 'datasets', 'models', 'engine', 'evaluation.metrics', 'visualization', 'apis',
             'apis.inferencers', 'apis.layout_checkpoints', 'apis.layout_evaluation', 'apis.layout_generation',
             'apis.layout_judges', 'apis.layout_memory', 'apis.layout_requests', 'apis.sources.movie'):
    importlib.import_module(f'motionlab.{room}')

import numpy as np
import torch
from motionlab.apis import load_pretrained
from motionlab.codecs import ClipDinoReferences, FluxAutoencoder, FluxTextEncoders, LayoutCodec
from motionlab.datasets.layout_dataset import LayoutImageDataset
from motionlab.datasets.layout_folder import check_layout_folder
from motionlab.datasets.layout_scenes import draw_scene, make_layout_scenes
from motionlab.registry import MODELS
from motionlab.utils import register_all_modules

# All that can be done without them is: data, its check, its batches, latents and back.
register_all_modules()
scenes = make_layout_scenes(folder / 'scenes', 3)
assert not check_layout_folder(scenes.path).problems
latents = LayoutCodec().encode_images(torch.from_numpy(draw_scene(0))[None])
assert LayoutImageDataset(scenes.path).__getitems__([0, 1])['latents'].shape[1:] == latents.shape[1:]

tiny = dict(patch_size=1, in_channels=64, num_layers=1, num_single_layers=1, attention_head_dim=8,
            num_attention_heads=2, joint_attention_dim=32, pooled_projection_dim=4, guidance_embeds=False,
            axes_dims_rope=(2, 2, 4))
model = dict(type='LayoutDiffuser', stage=1, codec=dict(type='LayoutCodec'), backbone=dict(
    type='LayoutFlux', flux=dict(config=tiny, random_base=True), clip_dim=64, dino_dim=128, lora=dict(rank=2, alpha=2),
    parts=('layout',)), head=dict(type='FlowMatchingHead'))
pixels = np.zeros((1, 28, 28, 3), np.uint8)
flux = folder / 'flux'
clip = dict(clip_path=flux / 'clip', dino_path=flux / 'dino', size=28)
attempt('model', lambda: MODELS.build(model))
attempt('autoencoder', lambda: FluxAutoencoder(path=flux).encode(torch.zeros(1, 3, 32, 32)))
attempt('references', lambda: LayoutCodec(references=dict(type='ClipDinoReferences', **clip)).encode_pictures(pixels))
attempt('captions', lambda: FluxTextEncoders(flux / 'text_encoder', flux / 'text_encoder_2').encode_text(['a circle']))
attempt('checkpoint', lambda: load_pretrained('movie', folder / 'checkpoint', flux=tiny))
hide('peft')
attempt('lora', lambda: MODELS.build(model))
'''
EXPECTED = {'model': 'diffusers', 'autoencoder': 'diffusers', 'references': 'transformers', 'captions': 'transformers',
            'checkpoint': 'diffusers', 'lora': 'peft'}


def test_layout_optional_packages(tmp_path):
    """Everything imports and data is made and read without them; what needs one names the extra."""
    for package in ('peft', 'diffusers', 'transformers'):
        pytest.importorskip(package)
    for write in (write_autoencoder, write_text_encoders, write_reference_encoders):
        write(tmp_path / 'flux')
    from tests.test_apis.movie_files import make_checkpoint, make_flux
    (tmp_path / 'checkpoint').mkdir()
    torch.save(make_checkpoint(make_flux(), 2), tmp_path / 'checkpoint/model.pt')
    check_extras(said_by(PROGRAM, tmp_path), {name: (package, 'flux') for name, package in EXPECTED.items()})
