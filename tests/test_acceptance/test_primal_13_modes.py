import json

import pytest
import torch

from motionlab.engine.checkpoint import load_checkpoint_file
from motionlab.engine.hooks.frozen_base_hook import frozen_hash
from motionlab.utils import CheckpointError, ConfigError
from tests.motion_models import run_config, same, write_motion_splits
from tests.test_engine import toy

LAST = 'epoch_4.pth'
ADAPTER = {'model__backbone__adapter': dict(kind='controlnet2', control='action', num_actions=3)}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp('modes')
    write_motion_splits(path / 'data', actions=True)
    return path


@pytest.fixture(scope='module', params=[1, 2], ids=['velocity', 'acceleration'])
def whole(request, folder, small_body_file):
    name = f'whole{request.param}'
    toy.train(run_config(folder / 'data', small_body_file, folder / name, model__codec__order=request.param))
    return request.param, folder / name


def test_primal_13_resume(whole, folder, small_body_file):
    """Resume restores optimiser, EMA, RNG, epoch: 2+2 epochs equals 4 (CPU, deterministic); also inside an epoch."""
    order, expected = whole
    for stops in [(6,), (5,), (1, 8)]:  # After two epochs; within the second; before and after the average begins.
        name = f'at{order}-' + '-'.join(map(str, stops))
        runner = toy.stop_and_resume(run_config(folder / 'data', small_body_file, folder / name,
                                                model__codec__order=order), *stops)
        assert runner.epoch == 4 and runner.iter == 12
        toy.assert_same_run(expected, folder / name, LAST)


def test_primal_13_finetune(whole, folder, small_body_file, caplog):
    """Finetune starts from the raw weights with the average on top, prints loaded/missing/unexpected, fails on none."""
    order, base = whole
    options = {'train_cfg__max_epochs': 1, 'model__codec__order': order}
    runner = toy.train(run_config(folder / 'data', small_body_file, folder / f'tuned{order}',
                                  load_from=str(base / LAST), **options))
    start, end = load_checkpoint_file(folder / f'tuned{order}/iter_0.pth'), load_checkpoint_file(base / LAST)
    assert same(start['state_dict'], end['state_dict']) and not same(end['raw_state_dict'], {
        name: end['state_dict'][name] for name in end['raw_state_dict']})
    assert start['optimizer']['state'] == {} and runner.iter == 3
    log = next((folder / f'tuned{order}/logs').glob('*.log')).read_text()
    assert '0 missing, 0 unexpected' in log
    torch.save({'state_dict': {'other': torch.zeros(1)}}, folder / 'none.pth')
    with pytest.raises(CheckpointError, match='no parameter of MotionDiffuser'):
        toy.train(run_config(folder / 'data', small_body_file, folder / f'none{order}',
                             load_from=str(folder / 'none.pth'), **options))


def _adapter_config(folder, body, name, **options):
    cfg = run_config(folder / 'data', body, folder / name, **ADAPTER, **options)
    cfg.custom_hooks.append(dict(type='FrozenBaseHook'))
    return cfg


def test_primal_13_adapters_survive_resume(whole, folder, small_body_file):
    """Adapters survive resume, are alone in being trained, and the base is untouched (hash)."""
    order, base = whole
    options = {'load_from': str(base / LAST), 'model__codec__order': order}
    cfg = _adapter_config(folder, small_body_file, f'adapter{order}', **options)
    expected = toy.train(cfg).bare_model
    cfg = _adapter_config(folder, small_body_file, f'stopped{order}', **options)
    cfg.custom_hooks.append(dict(type='StopAt', iteration=7))
    toy.train(cfg)
    before = load_checkpoint_file(folder / f'stopped{order}/iter_7.pth')['state_dict']
    assert before['backbone.adapter.outputs.0.weight'].abs().max() > 0
    cfg = _adapter_config(folder, small_body_file, f'stopped{order}', model__codec__order=order)
    cfg.resume = True
    resumed = toy.train(cfg).bare_model
    assert same(expected.state_dict(), resumed.state_dict())
    trained = load_checkpoint_file(base / LAST)['state_dict']
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in trained.items())
    assert frozen_hash(resumed) == frozen_hash(expected)
    log = ''.join(path.read_text() for path in (folder / f'stopped{order}/logs').glob('*.log'))
    assert log.count(f'unchanged: sha256 {frozen_hash(resumed)}') == 2
    groups = load_checkpoint_file(folder / f'stopped{order}/{LAST}')['optimizer']
    names = [name for name, param in resumed.named_parameters() if param.requires_grad]
    assert len(groups['state']) == len(names) and all(name.startswith('backbone.adapter.') for name in names)


def test_primal_13_an_adapter_needs_a_trained_base(folder, small_body_file):
    """An adapter on fresh weights is refused before anything is trained."""
    with pytest.raises(ConfigError, match='--finetune CHECKPOINT'):
        toy.train(_adapter_config(folder, small_body_file, 'baseless'))


def test_primal_13_losses_are_logged(whole):
    """Every term of the loss is in the log of training and of validation."""
    order, folder = whole
    rows = [json.loads(line) for line in (folder / 'logs/scalars.json').open()]
    terms = {'simple', 'fk', ('velocity', 'acceleration')[order - 1], 'total'}
    assert len([row for row in rows if terms <= row.keys() and 'lr' in row]) == 12
    assert len([row for row in rows if terms <= row.keys() and 'lr' not in row]) == 4
