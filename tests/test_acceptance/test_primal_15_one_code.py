from pathlib import Path

import pytest
from torch import nn

from motionlab.engine.config import load_config
from motionlab.registry import MODELS
from tests.conftest import REPO
from tests.motion_models import CONFIGS

PAIRS = ['1xb256-30000e_amass', 'h128_1xb64-4k_mocap']


def _pair(name: str) -> list:
    files = (f'primal-{variant}{"-" if name[0] == "h" else "_"}{name}.py' for variant in ('velocity', 'acceleration'))
    return [load_config(CONFIGS / file) for file in files]


def _leaves(value, path=()):
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, index))
    else:
        yield path, value


@pytest.mark.parametrize('name', PAIRS)
def test_primal_15_one_value(name):
    """Both variants differ by one value of the config."""
    velocity, acceleration = (dict(_leaves(cfg.to_dict())) for cfg in _pair(name))
    assert velocity.keys() == acceleration.keys()
    differing = [key for key in velocity if velocity[key] != acceleration[key]]
    assert differing == [('model', 'codec', 'order')]


@pytest.mark.parametrize('name', PAIRS)
def test_primal_15_one_code(name):
    """Both variants share one sampler/losses/dataset code, the same sizes and the same activation, which is obeyed."""
    models = [MODELS.build(cfg.model) for cfg in _pair(name)]
    parts = [[(key, type(module)) for key, module in model.named_modules()] for model in models]
    assert parts[0] == parts[1]
    shapes = [{key: tuple(value.shape) for key, value in model.state_dict().items()} for model in models]
    assert {key for key in shapes[0] if shapes[0][key] != shapes[1][key]} == {
        f'backbone.{part}' for part in ('in_fc.weight', 'seed_fc.weight', 'out_fc.weight', 'out_fc.bias')}
    assert [model.codec.in_channels for model in models] == [267, 333]
    assert all(isinstance(layer.activation, nn.SiLU) for model in models for layer in model.backbone.layers)
    assert [list(model.head.weights) for model in models] == [['simple', 'fk', 'velocity'],
                                                              ['simple', 'fk', 'acceleration']]


def test_primal_15_published_size():
    """13,488,139 parameters for velocity; the acceleration model has only its wider frames more."""
    velocity, acceleration = (MODELS.build(cfg.model) for cfg in _pair(PAIRS[0]))
    count = sum(param.numel() for param in velocity.parameters())
    assert count == 13_488_139
    assert sum(param.numel() for param in acceleration.parameters()) == count + 66 * (3 * 256 + 1)


def test_primal_15_no_second_implementation():
    """No class or module of the package is for one of the variants."""
    names = [path.stem for path in Path(REPO, 'motionlab').rglob('*.py')]
    assert not [name for name in names if 'acceleration' in name or 'velocity' in name]


ACTING = {
    'codec.metric': (True, lambda model: model.codec.velocity_scale, 30.0),
    'codec.rotation': ('axis_angle', lambda model: model.codec.in_channels, 201),
    'codec.fps': (60, lambda model: model.codec.fps, 60),
    'codec.features': (('joints', 'velocity'), lambda model: model.codec.in_channels, 267),
    'codec.block_normalisation': (True, lambda model: model.codec.needs_fit, True),
    'backbone.embed_dim': (64, lambda model: model.backbone.seed_fc.out_features, 64),
    'backbone.num_layers': (3, lambda model: len(model.backbone.layers), 3),
    'backbone.num_heads': (4, lambda model: model.backbone.layers[0].attention.num_heads, 4),
    'backbone.ffn_dim': (512, lambda model: model.backbone.layers[0].fc1.out_features, 512),
    'backbone.dropout': (0.3, lambda model: model.backbone.layers[0].dropout.p, 0.3),
    'backbone.activation': ('relu', lambda model: type(model.backbone.layers[0].activation), nn.ReLU),
    'backbone.conditioning': ('adaln', lambda model: model.backbone.in_context, False),
    'backbone.separate_condition_token': (True, lambda model: model.backbone.separate_condition_token, True),
    'backbone.num_timesteps': (20, lambda model: model.head.schedule.num_timesteps, 20),
    'head.simple_weight': (2.0, lambda model: model.head.weights['simple'], 2.0),
    'head.fk_weight': (2.0, lambda model: model.head.weights['fk'], 2.0),
    'head.difference_weight': (2.0, lambda model: model.head.weights['velocity'], 2.0),
    'head.fk_norm': ('l1', lambda model: model.head.fk_norm, 'l1'),
    'head.difference_norm': ('l1', lambda model: model.head.difference_norm, 'l1'),
    'head.block_weights': (dict(velocity=4.0), lambda model: model.head.channel_weights[[0, 201]].tolist(), [1.0, 4.0]),
}


@pytest.mark.parametrize('key', ACTING)
def test_primal_15_every_key_acts(key):
    """Every key of the model reaches what it is about."""
    value, seen, expected = ACTING[key]
    cfg = load_config(CONFIGS / f'primal-velocity_{PAIRS[0]}.py', {f'model.{key}': value})
    before = MODELS.build(load_config(CONFIGS / f'primal-velocity_{PAIRS[0]}.py').model)
    assert seen(MODELS.build(cfg.model)) == expected
    assert key == 'head.block_weights' or seen(before) != expected or key == 'codec.features'
