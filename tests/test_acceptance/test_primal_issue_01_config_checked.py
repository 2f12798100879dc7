import pytest

from motionlab.engine.config import load_config
from motionlab.registry import MODELS
from motionlab.utils import ConfigError
from tests.motion_models import CONFIGS

ACCELERATION = CONFIGS / 'primal-acceleration_1xb256-30000e_amass.py'


def test_primal_issue_01_weights_are_there():
    """All weights of the loss are in the config, 1 as published, and reach the head under the variant's own name."""
    weights = MODELS.build(load_config(ACCELERATION).model).head.weights
    assert weights == dict(simple=1.0, fk=1.0, acceleration=1.0)
    changed = load_config(ACCELERATION, {'model.head.difference_weight': 0.25})
    assert MODELS.build(changed.model).head.weights == dict(simple=1.0, fk=1.0, acceleration=0.25)


@pytest.mark.parametrize('key', [
    'model.head.weight_acc', 'model.head.use_l1_norm_acc', 'model.backbone.act_fun', 'model.codec.canonical_tidx',
    'model.codec.canonical_on_ground', 'model.use_ss', 'optim_wrapper.lr_decay_rate', 'train_cfg.lr_warmup_steps',
    'train_dataloader.dataset.frame_rate', 'model.head.difference_wieght'])
def test_primal_issue_01_unknown_keys(key, tmp_path):
    """An unknown key is an error that names it when the config is read, in a file or on the command line."""
    with pytest.raises(ConfigError, match=f'{key}.*unknown key'):
        load_config(ACCELERATION, {key: 1})
    file = tmp_path / 'child.py'
    *path, name = key.split('.')
    changes = {name: 1}
    for part in reversed(path[1:]):
        changes = {part: changes}
    file.write_text(f'_base_ = [{str(ACCELERATION)!r}]\n{path[0]} = {changes}\n')
    with pytest.raises(ConfigError, match=f"{key}: .* takes no argument '{name}'"):
        load_config(file)


@pytest.mark.parametrize(('key', 'value', 'message'), [
    ('model.head.difference_weight', -1.0, 'weight -1.0 for acceleration'),
    ('model.head.fk_norm', 'mse', "fk_norm='mse'"),
    ('model.head.order', 1, 'has order=1, but codec MotionEncoding needs 2'),
    ('model.head.num_timesteps', 40, 'has num_timesteps=40, but backbone MotionDiT needs 50'),
    ('model.head.block_weights', dict(jerk=1.0), r"block_weights of \['jerk'\]"),
    ('model.codec.order', 3, 'order=3'),
    ('model.backbone.in_channels', 267, 'in_channels=267, but codec MotionEncoding needs 333'),
    ('model.backbone.activation', 'tanh', "activation='tanh'")])
def test_primal_issue_01_wrong_values(key, value, message):
    """A value that cannot be is an error when the model is built."""
    with pytest.raises(ConfigError, match=message):
        MODELS.build(load_config(ACCELERATION, {key: value}).model)


def test_primal_issue_01_missing_keys():
    """What must be given is asked for by name."""
    cfg = load_config(ACCELERATION).model
    del cfg.codec
    with pytest.raises(TypeError, match='codec'):
        MODELS.build(cfg)
