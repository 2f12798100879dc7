"""Misspelt configs and overrides are refused with the nearest name; correct ones pass."""

from argparse import ArgumentParser

import pytest
from torch import nn

from motionlab.engine.config import ConfigOption, load_config, resolve_work_dir
from motionlab.registry import MODELS
from motionlab.utils import ConfigError

CONFIG = """
import math
default_scope = 'motionlab'
num_frames = 27
angle = math.pi * 2
model = dict(type='ConfigTestModel', backbone=dict(type='ConfigTestNet', channels=8, norm_cfg=dict(type='X', eps=1)),
             head=dict(type='ConfigTestAnything', depth=2))
train_cfg = dict(by_epoch=True, max_epochs=3)
train_dataloader = dict(batch_size=4, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=True))
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=1e-3), clip_grad=None)
param_scheduler = [dict(type='LinearLR', end=5), dict(type='CosineAnnealingLR', T_max=3, end=3)]
default_hooks = dict(
    checkpoint=dict(type='CheckpointHook', interval=1), logger=dict(type='LoggerHook', interval=1, priority='LOWEST'),
    own=dict(type='IterTimerHook'))
randomness = dict(seed=1)
betas = (0.9, 0.99)
"""


@MODELS.register_module()
class ConfigTestModel(nn.Module):
    def __init__(self, backbone, head=None, init_cfg=None):
        super().__init__()


@MODELS.register_module()
class ConfigTestNet(nn.Module):
    def __init__(self, channels, dropout=0.1, causal=False, norm_cfg=None):
        super().__init__()


@MODELS.register_module()
class ConfigTestAnything(nn.Module):
    def __init__(self, **kwargs):
        super().__init__()


@pytest.fixture
def write(tmp_path):
    def _write(*changes, text=CONFIG):
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / 'run_name.py'
        path.write_text(text)
        return path
    return _write


def test_good_config_with_imports_and_arithmetic(write):
    cfg = load_config(write())
    assert cfg.angle == pytest.approx(6.283185)
    assert cfg.train_cfg.max_epochs == 3


@pytest.mark.parametrize(('key', 'value'), [
    ('train_cfg.max_epochs', 7),
    ('train_cfg.val_interval', 2),               # argument of the loop, not in the config
    ('model.backbone.dropout', 0.0),             # argument of the class, not in the config
    ('model.head.anything', 1),                  # the class takes **kwargs
    ('optim_wrapper.clip_grad.max_norm', 1.0),   # None in the config
    ('optim_wrapper.optimizer.weight_decay', 0.1),
    ('optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult', 0.1),
    ('param_scheduler.1.T_max', 9),
    ('train_dataloader.persistent_workers', False),
    ('env_cfg.dist_cfg.timeout', 60),
    ('work_dir', 'somewhere'),
    ('num_frames', 81),
])
def test_option_is_applied(key, value, write):
    node = load_config(write(), {key: value})
    for part in key.split('.'):
        node = node[int(part) if part.isdigit() else part]
    assert node == value


@pytest.mark.parametrize(('key', 'message'), [
    ('trian_cfg.max_epochs', r"did you mean 'train_cfg\.max_epochs'"),
    ('train_cfg.max_epoch', r"did you mean 'train_cfg\.max_epochs'"),
    ('model.backbone.chanels', r"did you mean 'model\.backbone\.channels'"),
    ('model.backbone.dropuot', r"did you mean 'model\.backbone\.dropout'"),
    ('model.bakbone.dropout', r"did you mean 'model\.backbone\.dropout'"),
    ('model.backbone.channels.x', r"'model\.backbone\.channels' is 8"),
    ('param_scheduler.2.end', r"list of 2 .* index below 2, got '2'"),
    ('param_scheduler.end', r"list of 2 .* got 'end'"),
    ('betas.0', 'is a tuple'),
    ('custom_hooks.0.type', "no list 'custom_hooks'"),
    ('default_hooks.chekpoint.interval', r"did you mean 'default_hooks\.checkpoint\.interval'"),
    ('optim_wrapper.clip_grad.maxnorm', "clip_grad.maxnorm: .*Did you mean 'max_norm'"),
    ('randomness.sed', r"did you mean 'randomness\.seed'"),
    ('env_cfg.dist_cfg.backnd', "Did you mean 'backend'"),
    ('workdir', "did you mean 'work_dir'"),
    ('quite_new', "'quite_new' is an unknown key"),
])
def test_wrong_option_is_refused(key, message, write):
    path = write()
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(path, {key: 1})
    assert str(path) in str(caught.value)


def test_type_given_with_options_decides_the_keys(write):
    options = {'model.head.channels': 4, 'model.head.type': 'ConfigTestNet'}
    with pytest.raises(ConfigError, match=r"model\.head\.depth: ConfigTestNet takes no argument 'depth'.*_delete_"):
        load_config(write(), options)


@pytest.mark.parametrize(('old', 'new', 'message'), [
    ('train_dataloader', 'train_dataloder', "unknown key 'train_dataloder': did you mean 'train_dataloader'"),
    ('param_scheduler', 'param_schedulers', "did you mean 'param_scheduler'"),
    ('channels=8', 'chanels=8', r"model\.backbone\.chanels: ConfigTestNet .*Did you mean 'channels'"),
    ('max_epochs', 'max_epoch', r"train_cfg\.max_epoch: .*'max_epochs'"),
    ('batch_size', 'batchsize', r"train_dataloader\.batchsize: .*'batch_size'"),
    ('shuffle', 'shufle', r"train_dataloader\.sampler\.shufle: DefaultSampler .*'shuffle'"),
    ('lr=', 'learning_rate=', r'optim_wrapper\.optimizer\.learning_rate: AdamW takes no'),
    ('interval=1, p', 'intervall=1, p', r"default_hooks\.logger\.intervall: .*'interval'"),
    ('seed=', 'sede=', r"randomness\.sede: .*'seed'"),
])
def test_typo_in_the_config_is_refused(old, new, message, write):
    path = write((old, new))
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(('text', 'message'), [
    ('model = dict(', 'SyntaxError'),
    ("_base_ = ['./missing.py']", 'missing.py'),
    ('model = nothing', 'NameError'),
    ("custom_imports = dict(imports=['no_such_module_here'], allow_failed_imports=False)", 'no_such_module_here'),
])
def test_unreadable_config(text, message, write):
    with pytest.raises(ConfigError, match=f'run_name.py: cannot be read: .*{message}'):
        load_config(write(text=text))


def test_missing_config_names_the_nearest_file(write):
    path = write()
    with pytest.raises(ConfigError, match=r'no such config file. Did you mean .*run_name\.py'):
        load_config(path.with_name('run_names.py'))
    with pytest.raises(ConfigError, match='no folder'):
        load_config(path.parent / 'absent' / 'run_name.py')


def test_work_dir_precedence(write):
    assert resolve_work_dir(load_config(write())) == 'work_dirs/run_name'
    cfg = load_config(write(), {'work_dir': 'from_config'})
    assert resolve_work_dir(cfg) == 'from_config'
    assert resolve_work_dir(cfg, 'flag') == cfg.work_dir == 'flag'


def parse(*values):
    parser = ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOption)
    return parser.parse_args(['--cfg-options', *values]).cfg_options


def test_option_values():
    assert parse('a=1', 'b.c=1e-3', 'd=true', 'e=None', 'f=[1,2]', 'g=(1,2)', 'h=x,y', 'i=a b/c.pth', 'j=k=v') == {
        'a': 1, 'b.c': 1e-3, 'd': True, 'e': None, 'f': [1, 2], 'g': (1, 2), 'h': ['x', 'y'], 'i': 'a b/c.pth',
        'j': 'k=v'}


@pytest.mark.parametrize(('value', 'message'), [('a', 'expected key=value'), ('=1', 'expected key=value'),
                                                ('a={"b": 1}', 'a.name=value')])
def test_option_values_that_would_be_misread(value, message, capsys):
    with pytest.raises(SystemExit):
        parse(value)
    assert message in capsys.readouterr().err
