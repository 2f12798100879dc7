"""Checkpoints of MultiRefImages against its numerics, written down reference by reference in movie_files.py."""

import json

import pytest
import torch

from motionlab.apis.pretrained import convert, init_model, load_pretrained, save_conversion
from motionlab.apis.sources.movie import read_beside, upstream_weights
from motionlab.utils import CheckpointError, ConfigError
from tests.test_apis.movie_files import (
    ADDON,
    FLUX,
    PlainMovie,
    make_checkpoint,
    make_flux,
    make_inputs,
    make_references,
)

pytest.importorskip('diffusers')
pytest.importorskip('peft')

GRID, ATOL = (6, 8), 2e-5


@pytest.fixture(scope='module')
def flux():
    return make_flux()


@pytest.fixture(scope='module')
def base(flux, tmp_path_factory):
    folder = tmp_path_factory.mktemp('flux')
    flux.save_pretrained(folder)
    return folder


def _folder(folder, weights):
    folder.mkdir(exist_ok=True)
    torch.save(weights, folder / 'model.pt')
    return folder


@torch.no_grad()
def _check(net, plain, batch=2, grid=GRID):
    inputs, refs = make_inputs(batch, grid), make_references(batch, plain.weights['clip_proj.weight'].shape[1],
                                                             plain.weights['clip_proj.weight'].shape[0])
    expected = plain(inputs, refs, grid)
    torch.testing.assert_close(net(**inputs, refs=refs), expected, atol=ATOL, rtol=0)
    assert (net(**inputs) - expected).abs().max() > 0.1  # The references have a say.


@pytest.mark.parametrize('rank', [0, 4], ids=['stage 3', 'stages 1 and 2'])
@pytest.mark.parametrize('given', ['folder', 'config'])
def test_velocity_is_the_published_one(tmp_path, flux, base, rank, given):
    weights = make_checkpoint(flux, rank)
    found = convert('movie', _folder(tmp_path, weights), flux=base if given == 'folder' else FLUX)
    assert not found.missing and not found.unknown and not found.model.training
    copies = {'layout_head.proj.weight', 'layout_head.proj.bias'}
    theirs = {key for key in weights if key.startswith('flux_transformer.') and '.lora_' not in key}
    assert set(found.dropped) == (copies | theirs if given == 'folder' else copies)
    assert set(found.matched) == set(weights) - set(found.dropped)
    assert any('flux.x_embedder' in key for key in found.model.state_dict()) == (given == 'config')
    _check(found.model, PlainMovie(flux, weights))


def test_sizes_are_read_off_the_shapes(tmp_path):
    flux = make_flux(num_layers=1, num_single_layers=1, guidance_embeds=False)
    weights = make_checkpoint(flux, clip=12, dino=40)
    net = load_pretrained('movie', _folder(tmp_path, weights), flux=dict(flux.config))
    assert (net.clip_dim, net.dino_dim, len(net.feedback_bridge['projections'])) == (12, 40, 1)
    _check(net, PlainMovie(flux, weights), batch=1, grid=(4, 4))


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_conversions_load_again_and_go_back(tmp_path, flux, base, suffix):
    weights = make_checkpoint(flux, rank=2)
    folder = _folder(tmp_path / 'checkpoint_5', weights)
    for given in (FLUX, base):
        found = convert('movie', folder, flux=given)
        save_conversion(found, tmp_path / f'ours{suffix}')
        net = init_model(dict(model=found.config), tmp_path / f'ours{suffix}')
        inputs, refs = make_inputs(), make_references()
        with torch.no_grad():
            assert torch.equal(net(**inputs, refs=refs), found.model(**inputs, refs=refs))
        back = upstream_weights(net)
        assert set(back) == {key for key in weights if given is FLUX or not key.startswith('flux_transformer.')
                             or '.lora_' in key}
        assert all(torch.equal(back[key], weights[key]) for key in back)


def test_of_two_layout_heads_the_live_one_is_taken(tmp_path, flux):
    weights = make_checkpoint(flux)
    weights['layout_head.proj.weight'] = torch.zeros_like(weights['layout_head.proj.weight'])
    folder = _folder(tmp_path, weights)
    _check(load_pretrained('movie', folder, flux=FLUX), PlainMovie(flux, weights))
    _check(load_pretrained('movie', folder, flux=FLUX, hard_visual=True), PlainMovie(flux, weights, hard=True))
    for key in [key for key in weights if key.startswith(f'{ADDON}layout_head.')]:
        weights[key.removeprefix(ADDON)] = weights.pop(key)
    net = load_pretrained('movie', _folder(tmp_path, weights), flux=FLUX)
    assert torch.equal(net.layout_head.proj.weight, weights['layout_head.proj.weight'])


def test_scale_of_lora_is_in_the_config_beside(tmp_path, flux):
    weights = make_checkpoint(flux, rank=2)
    folder = _folder(tmp_path, weights)
    (folder / 'config.yaml').write_text('stage: 1\nlora:\n  rank: 128\n  alpha: 64\n')
    net = load_pretrained('movie', folder, flux=FLUX)
    _check(net, PlainMovie(flux, weights, scale=0.5))
    found = convert('movie', folder / 'model.pt', flux=FLUX, lora_scale=2.0)
    assert found.config['lora'] == dict(rank=2, alpha=4.0, targets=['to_k', 'to_q', 'to_v'])
    for text in ('', 'stage: 3\n', 'lora: [', 'lora: {rank: 0, alpha: 1}', 'lora: {rank: a, alpha: 1}', '[]'):
        (folder / 'config.yaml').write_text(text)
        assert read_beside(folder / 'model.pt') == {}


def test_lora_around_other_layers(tmp_path, flux):
    weights = make_checkpoint(flux, rank=2)
    first = 'flux_transformer.base_model.model.transformer_blocks.0.attn.to_q.lora_'
    partial = {key: value for key, value in weights.items() if '.lora_' not in key or key.startswith(first)}
    net = load_pretrained('movie', _folder(tmp_path, partial), flux=FLUX)
    assert convert('movie', tmp_path, flux=FLUX).config['lora']['targets'] == ['transformer_blocks.0.attn.to_q']
    _check(net, PlainMovie(flux, partial))
    half = {key: value for key, value in weights.items() if key != f'{first}B.default.weight'}
    with pytest.raises(CheckpointError, match=r'1 weights are missing \(flux.transformer_blocks.0.attn.to_q.lora_B'):
        load_pretrained('movie', _folder(tmp_path, half), flux=FLUX)
    for change, match in ((f'{first}A.other.weight', '2 adapters'),
                          ('flux_transformer.base_model.model.ears.lora_A.default.weight', 'around ears')):
        with pytest.raises(CheckpointError, match=match):
            convert('movie', _folder(tmp_path, {**weights, change: torch.zeros(2, 48)}), flux=FLUX)


def test_ways_to_give_the_base(tmp_path, flux, base):
    weights = make_checkpoint(flux)
    folder = _folder(tmp_path, weights)
    (tmp_path / 'pipeline').mkdir()
    (tmp_path / 'pipeline' / 'transformer').symlink_to(base)
    (tmp_path / 'flux.json').write_text(json.dumps(dict(flux.config)))
    torch.save(dict(config=FLUX, state_dict=flux.state_dict()), tmp_path / 'flux.pt')
    expected = load_pretrained('movie', folder, flux=FLUX)
    inputs, refs = make_inputs(), make_references()
    for given in (tmp_path / 'pipeline', str(tmp_path / 'flux.json'), tmp_path / 'flux.pt', dict(config=FLUX),
                  dict(path=str(base))):
        with torch.no_grad():
            assert torch.equal(load_pretrained('movie', folder, flux=given)(**inputs, refs=refs),
                               expected(**inputs, refs=refs))
    with pytest.raises(ConfigError, match='heads of 16, not the published 128'):
        load_pretrained('movie', folder)
    with pytest.raises(CheckpointError, match=r'config.json: cannot be read'):
        load_pretrained('movie', folder, flux=tmp_path / 'nothing')
    with pytest.raises(ConfigError, match='holds no config and state_dict'):
        load_pretrained('movie', folder, flux=folder / 'model.pt')


def test_the_published_form_needs_no_config(tmp_path):
    flux = make_flux(attention_head_dim=128, num_attention_heads=1, num_layers=1, num_single_layers=1,
                     axes_dims_rope=[16, 56, 56])
    found = convert('movie', _folder(tmp_path, make_checkpoint(flux, rank=2)))
    assert found.config['flux']['config'] == {**{name: list(value) if isinstance(value, tuple) else value
                                                 for name, value in flux.config.items()
                                                 if not name.startswith('_')}, 'out_channels': 64}


def test_base_is_compared_where_asked_for(tmp_path, flux, base):
    weights = make_checkpoint(flux, rank=2)
    key = 'flux_transformer.base_model.model.transformer_blocks.1.attn.to_k.base_layer.weight'
    half = {name: value.bfloat16() if name.startswith('flux_transformer.') else value
            for name, value in weights.items()}
    convert('movie', _folder(tmp_path, half), flux=base, check_base=True)
    changed = _folder(tmp_path, {**weights, key: weights[key] + 1e-3})
    convert('movie', changed, flux=base)
    with pytest.raises(CheckpointError, match=rf'1 of \d+ base weights are not those of flux \({key}\)'):
        convert('movie', changed, flux=base, check_base=True)
    with pytest.raises(CheckpointError, match=r'1 of \d+ base weights are not those of flux'):
        convert('movie', _folder(tmp_path, {**weights, key: weights[key][1:]}), flux=base)


@pytest.mark.parametrize(('change', 'match'), [
    (lambda w: w.pop('clip_proj.bias'), r'1 weights are missing \(clip_proj.bias\)'),
    (lambda w: w.pop(f'{ADDON}to_q.weight'), r'1 weights are missing \(layout_attention.to_q.weight\)'),
    (lambda w: w.pop('flux_transformer.x_embedder.bias'), r'1 weights are missing \(flux.x_embedder.bias\)'),
    (lambda w: w.update({'layout_head.ears': torch.ones(1), 'ears': torch.ones(1)}), r'1 weights have .* \(ears\)'),
    (lambda w: w.update({'flux_transformer.ears': torch.ones(1)}), r'1 weights have no place .*flux_transformer.ears'),
    (lambda w: w.update({f'{ADDON}ears': torch.ones(1)}), r'1 weights have no place .*assemble_addon.ears'),
    (lambda w: w.update({'clip_proj.bias': w['clip_proj.bias'][1:]}), 'clip_proj.bias is .* in the file'),
    (lambda w: w['alpha_predictor.fc2.weight'].fill_(torch.nan), 'not finite'),
    (lambda w: w.update({'alpha_predictor.fc1.weight': torch.ones(9, 30)}), r'takes 30 numbers .* expected 20 \+ 4'),
    (lambda w: w.update({'clip_proj.weight': torch.ones(9)}), r'clip_proj.weight has the shape \(9,\), expected'),
    (lambda w: w.update({'modulation_head.block_projections.3.weight': torch.ones(9)}), 'for 4 double blocks, and'),
    (lambda w: [w.pop(key) for key in list(w) if key.startswith('flux_transformer.')], 'holds no flux_transformer'),
    (lambda w: [w.pop(key) for key in list(w) if key.startswith('modulation_head.')], 'no key matches this source'),
])
def test_weights_that_do_not_fit(tmp_path, flux, change, match):
    weights = make_checkpoint(flux)
    change(weights)
    with pytest.raises(CheckpointError, match=match):
        load_pretrained('movie', _folder(tmp_path, weights), flux=FLUX)


def test_width_of_heads_and_base(tmp_path, flux):
    folder = _folder(tmp_path, make_checkpoint(flux))
    with pytest.raises(CheckpointError, match='heads are of width 48, and flux of width 32'):
        load_pretrained('movie', folder, flux={**FLUX, 'num_attention_heads': 2})


def test_folders(tmp_path, flux):
    weights = make_checkpoint(flux)
    for step in (100, 20):
        _folder(tmp_path / f'checkpoint_{step}', {**weights, 'alpha_predictor.fc2.bias': torch.tensor([float(step)])})
    (tmp_path / 'checkpoint_300').mkdir()
    net = load_pretrained('movie', tmp_path, flux=FLUX)
    assert net.alpha_predictor.fc2.bias.item() == 100
    with pytest.raises(CheckpointError, match=r'holds no model.pt and no checkpoint_\* with one; found nothing'):
        load_pretrained('movie', tmp_path / 'checkpoint_300', flux=FLUX)
    with pytest.raises(CheckpointError, match='found no file'):
        load_pretrained('movie', tmp_path / 'nowhere', flux=FLUX)
