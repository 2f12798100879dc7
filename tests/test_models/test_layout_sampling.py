import json

import pytest
import torch
from torch import nn

from motionlab.codecs import layout_batch as keys
from motionlab.codecs.latent_packing import image_ids, pack_latents, text_ids
from motionlab.models.heads.flow_samplers import solve_euler
from motionlab.models.layout_sampling import (
    LayoutOptions,
    SamplingShift,
    default_steps,
    generate_images,
    model_shift,
    read_sampling_shift,
)
from motionlab.utils import CheckpointError, ConfigError, DataError
from tests.layout_models import make_batch, make_model

SIDE = 32  # px


@pytest.fixture(scope='module')
def model():
    return make_model(3)


def _generate(model, batch, size=(SIDE, SIDE), **options):
    seeds = options.pop('seeds', None)
    return generate_images(model, batch, batch[keys.TEXT], batch[keys.POOLED], *size, LayoutOptions(**options), seeds)


def test_recorded_run(shared_dir):
    """Six Euler steps of diffusers' pipeline."""
    folder = shared_dir / 'reference/movie'
    flow, tiny = (torch.load(folder / f'{name}.pt', weights_only=True) for name in ('flow', 'flux_tiny'))
    run = flow['euler_vanilla']
    from diffusers import FluxTransformer2DModel
    flux = FluxTransformer2DModel(**tiny['config'])
    flux.load_state_dict(tiny['state_dict'])
    packed = pack_latents(run['noise'])
    sigmas = SamplingShift().sigmas(run['steps'], packed.shape[1])

    @torch.no_grad()
    def velocity(x, sigma):
        return flux(x, run['text'], run['pooled'], torch.full((len(x),), sigma), image_ids(8, 8), text_ids(5),
                    torch.full((len(x),), run['guidance']), return_dict=False)[0]

    torch.testing.assert_close(solve_euler(velocity, packed, sigmas), run['final_packed'], rtol=0, atol=1e-4)


def test_recorded_run_of_the_network(shared_dir):
    """The same, through what users call, from noise of the recording in the place of a seed's."""
    folder = shared_dir / 'reference/movie'
    flow, tiny = (torch.load(folder / f'{name}.pt', weights_only=True) for name in ('flow', 'flux_tiny'))
    run = flow['euler_vanilla']
    network = make_model(3, flux=tiny['config'])
    base = {name.replace('.base_layer.', '.'): name for name in network.backbone.flux.state_dict()}
    network.backbone.flux.load_state_dict({base[name]: value for name, value in tiny['state_dict'].items()},
                                          strict=False)
    network.backbone.flux.disable_adapters()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('motionlab.models.layout_sampling.seeded_randn', lambda seeds, shape, device: run['noise'])
        found = generate_images(network, None, run['text'], run['pooled'], 32, 32,
                                LayoutOptions(num_steps=run['steps'], guidance=run['guidance']))
    torch.testing.assert_close(pack_latents(found.latents), run['final_packed'], rtol=0, atol=1e-4)
    assert found.alpha.shape == (2, 0) and found.images.shape == (2, 32, 32, 3) and found.images.dtype == torch.uint8


def test_scales_switch_parts_off(model):
    batch = make_batch(2)
    with_parts = {name: _generate(model, batch, **options).latents for name, options in (
        ('all', {}), ('layout', dict(layout_scale=0)), ('modulation', dict(modulation_scale=0)),
        ('feedback', dict(feedback_scale=0)), ('both', dict(layout_scale=0, modulation_scale=0)),
        ('grounding', dict(grounding_ratio=0)), ('some', dict(grounding_ratio=0.34)))}
    nothing = generate_images(model, None, batch[keys.TEXT], batch[keys.POOLED], SIDE, SIDE).latents
    for name in ('layout', 'modulation', 'feedback', 'some'):
        assert (with_parts[name] - with_parts['all']).abs().max() > 1e-4, name
    torch.testing.assert_close(with_parts['both'], nothing, rtol=0, atol=1e-4)
    torch.testing.assert_close(with_parts['grounding'], with_parts['layout'], rtol=0, atol=0)
    assert (with_parts['some'] - with_parts['layout']).abs().max() > 1e-4


@pytest.mark.parametrize(('ratio', 'steps', 'expected'), [(0.3, 10, 3), (0.3, 28, 9), (0.1, 30, 3), (0, 5, 0),
                                                          (1, 5, 5)])
def test_grounded_steps(ratio, steps, expected):
    assert LayoutOptions(grounding_ratio=ratio).num_grounded(steps) == expected


def test_layout_is_active_in_the_first_steps(model, monkeypatch):
    scales, forward = [], type(model.backbone).forward
    monkeypatch.setattr(type(model.backbone), 'forward', lambda self, x, time, *args, **options: (
        scales.append((time[0].item(), options['layout_scale'])), forward(self, x, time, *args, **options))[1])
    _generate(model, make_batch(1), num_steps=4, grounding_ratio=0.5, layout_scale=0.7)
    times, used = zip(*scales)
    assert used == (0.7, 0.7, 0, 0) and times[0] == 1 and list(times) == sorted(times, reverse=True)


def test_other_sizes(model):
    found = _generate(model, make_batch(1), size=(16, 48), num_steps=1)
    assert found.images.shape == (1, 16, 48, 3) and found.latents.shape == (1, 16, 4, 12)


def test_wrong_inputs(model):
    batch = make_batch(2)
    with pytest.raises(DataError, match='nearest valid size is 32 x 40'):
        _generate(model, batch, size=(30, 41))
    with pytest.raises(DataError, match='dino'):
        _generate(model, {key: value for key, value in batch.items() if key != keys.DINO})
    with pytest.raises(DataError, match='rows'):
        _generate(model, batch, seeds=[1])
    with pytest.raises(DataError, match='boxes'):
        _generate(model, batch | {keys.BOXES: batch[keys.BOXES][:1]})
    with pytest.raises(ConfigError, match='no guidance embedding'):
        _generate(model, batch, guidance=2.0)
    for options in (dict(num_steps=0), dict(grounding_ratio=1.1), dict(seed=-1), dict(layout_scale=float('nan')),
                    dict(guidance=-1)):
        with pytest.raises(ConfigError, match=next(iter(options))):
            LayoutOptions(**options)
    broken = make_model(3)
    nn.init.constant_(broken.backbone.flux.proj_out.bias, float('nan'))
    with pytest.raises(DataError, match='Look at the weights'):
        _generate(broken, batch, num_steps=1)


def test_guidance_is_the_models(model):
    guided = make_model(3, flux=dict(guidance_embeds=True))
    batch = make_batch(1)
    own, same, other = (_generate(guided, batch, num_steps=1, guidance=value).latents for value in (None, 3.5, 1.0))
    assert torch.equal(own, same) and (own - other).abs().max() > 1e-4


def test_scheduler_of_a_checkpoint(model, tmp_path, monkeypatch):
    config = dict(_class_name='FlowMatchEulerDiscreteScheduler', num_train_timesteps=1000, shift=1.0,
                  use_dynamic_shifting=False)
    folder = tmp_path / 'scheduler'
    folder.mkdir()
    (tmp_path / 'transformer').mkdir()
    path = folder / 'scheduler_config.json'
    assert model_shift(model) == SamplingShift()
    for place in (tmp_path, tmp_path / 'transformer'):
        path.write_text(json.dumps(config))
        monkeypatch.setattr(model.backbone, 'flux_path', str(place))
        assert model_shift(model).sigmas(4, 4096) == (1, 0.75, 0.5, 0.25, 0)
        assert default_steps(model) == 4  # FLUX.1-schnell.
        path.write_text(json.dumps(config | dict(use_dynamic_shifting=True, max_shift=1.3, base_image_seq_len=64)))
        assert model_shift(model) == SamplingShift(base_tokens=64, max_mu=1.3)
        assert default_steps(model) == model.head.num_steps
    for content, message in (('{', 'JSON'), ('[]', 'describes a list'), ('{"_class_name": "DDIM"}', 'DDIM'),
                             (json.dumps(config | dict(shift_terminal=0.1)), 'shift_terminal')):
        path.write_text(content)
        with pytest.raises(CheckpointError, match=message):
            read_sampling_shift(path)
    with pytest.raises(CheckpointError, match='cannot be read'):
        read_sampling_shift(tmp_path)
    with pytest.raises(ConfigError, match='expected a shift above 0'):
        SamplingShift(shift=0)
