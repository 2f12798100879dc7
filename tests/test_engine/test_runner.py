import json
import os
import re
import shutil

import pytest
import torch
from mmengine.config import Config

from motionlab.engine import MotionRunner
from motionlab.engine.loops import EpochLoop, EvalLoop, IterLoop
from motionlab.utils import CheckpointError, ConfigError
from tests.test_engine.toy import config, load, train


def log_of(runner: MotionRunner) -> str:
    with open(os.path.join(runner.log_dir, f'{runner.timestamp}.log')) as file:
        return file.read()


def test_work_dir_has_the_promised_files(tmp_path):
    runner = train(config(tmp_path, epochs=2))
    assert {path.name for path in tmp_path.iterdir()} == {
        'config.py', 'last_checkpoint', 'best_model.pth', 'epoch_1.pth', 'epoch_2.pth', 'logs'}
    assert (tmp_path / 'last_checkpoint').read_text() == 'epoch_2.pth'
    logs = sorted(re.sub(r'tfevents.*', 'tfevents', path.name) for path in (tmp_path / 'logs').iterdir())
    assert logs == [f'{runner.timestamp}.log', 'events.out.tfevents', 'scalars.json']
    assert Config.fromfile(tmp_path / 'config.py').model.type == 'ToyModel'
    lines = [json.loads(line) for line in (tmp_path / 'logs' / 'scalars.json').read_text().splitlines()]
    assert [line['step'] for line in lines] == [2, 4, 6, 6, 8, 10, 12, 12]
    assert {'loss', 'loss_mse', 'lr', 'grad_norm', 'iter', 'epoch', 'time'} <= set(lines[0])
    assert lines[3]['error'] > 0 and 'loss' not in lines[3]


def test_checkpoint_is_plain_and_complete(tmp_path):
    train(config(tmp_path, epochs=1))
    saved = load(tmp_path / 'epoch_1.pth')
    assert set(saved) == {'meta', 'state_dict', 'raw_state_dict', 'optimizer', 'param_schedulers', 'message_hub'}
    assert set(load(tmp_path / 'best_model.pth')) == {'meta', 'state_dict', 'raw_state_dict'}
    meta = saved['meta']
    assert (meta['epoch'], meta['iter'], meta['seed'], meta['dataset_meta']) == (1, 6, 5, {'dataset_name': 'toy'})
    assert 'ToyModel' in meta['cfg'] and meta['mmengine_version'] and meta['motionlab_version']


def test_checkpoints_do_not_grow(tmp_path):
    train(config(tmp_path, epochs=8))
    sizes = [(tmp_path / f'epoch_{epoch}.pth').stat().st_size for epoch in range(2, 9)]
    assert max(sizes) - min(sizes) <= 128, sizes  # Zip entries are padded to 64 bytes.
    histories = load(tmp_path / 'epoch_8.pth')['message_hub']['scalars']
    assert {len(history['values']) for name, history in histories.items() if name.startswith('train/')} == {4}


def test_fresh_refuses_a_used_work_dir_and_leaves_it_alone(tmp_path):
    train(config(tmp_path, epochs=1))
    before = {path.name: path.read_bytes() for path in tmp_path.glob('*') if path.is_file()}
    for changes in ({}, {'load_from': str(tmp_path / 'epoch_1.pth')}):
        cfg = config(tmp_path, epochs=2)
        cfg.update(changes)
        with pytest.raises(ConfigError, match=r'holds the checkpoints of an earlier run.*--resume.*overwrite=True'):
            train(cfg)
    assert {path.name: path.read_bytes() for path in tmp_path.glob('*') if path.is_file()} == before


def test_overwrite_moves_the_earlier_run_aside(tmp_path):
    work_dir = tmp_path / 'run'
    train(config(work_dir, epochs=2))
    before = {path.name: path.read_bytes() for path in work_dir.glob('*') if path.is_file()}
    runner = train(config(work_dir, epochs=1, overwrite=True))
    aside = tmp_path / f'run.{runner.timestamp}.old'
    assert {path.name: path.read_bytes() for path in aside.glob('*') if path.is_file()} == before
    assert not (work_dir / 'epoch_2.pth').exists() and (work_dir / 'epoch_1.pth').exists()
    assert len(list((aside / 'logs').glob('*.log'))) == 1
    assert (work_dir / 'logs' / f'{runner.timestamp}.log').exists()


def test_testing_in_a_used_work_dir_is_welcome(tmp_path):
    train(config(tmp_path, epochs=2))
    expected = load(tmp_path / 'best_model.pth')
    cfg = config(tmp_path, epochs=2)
    cfg.load_from = str(tmp_path / 'best_model.pth')
    config_file = (tmp_path / 'config.py').stat().st_mtime_ns
    metrics = MotionRunner.from_cfg(cfg).test()
    best = min(line['error'] for line in map(json.loads, (tmp_path / 'logs' / 'scalars.json').open())
               if 'error' in line)
    assert metrics['error'] == best
    assert expected['meta']['iter'] in (6, 12)
    assert (tmp_path / 'config.py').stat().st_mtime_ns == config_file


def test_testing_needs_all_weights(tmp_path):
    train(config(tmp_path, epochs=1))
    cfg = config(tmp_path, epochs=1, model=dict(extra=True))
    cfg.load_from = str(tmp_path / 'best_model.pth')
    with pytest.raises(CheckpointError, match=r'2 missing, 0 unexpected; missing: extra\.weight, extra\.bias'):
        MotionRunner.from_cfg(cfg).test()


def test_resume_starts_from_scratch_when_there_is_nothing_yet(tmp_path):
    cfg = config(tmp_path, epochs=1)
    cfg.resume, cfg.log_level = True, 'INFO'
    runner = train(cfg)
    assert runner.iter == 6
    assert 'holds no checkpoint yet: starting from scratch' in log_of(runner)


def test_resume_from_a_named_checkpoint(tmp_path):
    train(config(tmp_path / 'one', epochs=3))
    cfg = config(tmp_path / 'two', epochs=3)
    cfg.resume, cfg.load_from = True, str(tmp_path / 'one' / 'epoch_1.pth')
    train(cfg)
    assert not (tmp_path / 'two' / 'epoch_1.pth').exists()
    one, two = load(tmp_path / 'one' / 'epoch_3.pth'), load(tmp_path / 'two' / 'epoch_3.pth')
    assert all(torch.equal(one['state_dict'][name], two['state_dict'][name]) for name in one['state_dict'])


def test_a_moved_work_dir_resumes(tmp_path):
    train(config(tmp_path / 'old', epochs=1))
    shutil.move(tmp_path / 'old', tmp_path / 'new')
    cfg = config(tmp_path / 'new', epochs=2)
    cfg.resume = True
    assert train(cfg).iter == 12


def test_a_truncated_newest_checkpoint_falls_back(tmp_path):
    train(config(tmp_path / 'whole', epochs=3))
    train(config(tmp_path / 'cut', epochs=2))
    newest = tmp_path / 'cut' / 'epoch_2.pth'
    newest.write_bytes(newest.read_bytes()[:-300])
    (tmp_path / 'cut' / 'epoch_3.pth.tmp').write_bytes(b'half')
    cfg = config(tmp_path / 'cut', epochs=3)
    cfg.resume, cfg.log_level = True, 'INFO'
    runner = train(cfg)
    log = log_of(runner)
    assert re.search(r'WARNING - .*epoch_2\.pth: truncated or corrupt \(\d+ bytes\).*passed over', log)
    assert 'epoch_1.pth: epoch 1, iteration 6' in log
    assert 'Removed epoch_3.pth.tmp' in log
    one, two = load(tmp_path / 'whole' / 'epoch_3.pth'), load(tmp_path / 'cut' / 'epoch_3.pth')
    assert all(torch.equal(one['state_dict'][name], two['state_dict'][name]) for name in one['state_dict'])


def test_weights_alone_cannot_be_resumed(tmp_path):
    train(config(tmp_path / 'one', epochs=1))
    cfg = config(tmp_path / 'two', epochs=1)
    cfg.resume, cfg.load_from = True, str(tmp_path / 'one' / 'best_model.pth')
    with pytest.raises(CheckpointError, match=r'cannot be resumed, it has no optimizer.*load_from'):
        train(cfg)


@pytest.mark.parametrize(('change', 'message'), [
    (lambda cfg: cfg.model.update(extra=True), 'does not fit ToyModel: 10 matched, 2 missing'),
    (lambda cfg: cfg.model.update(width=7), r'shapes differ: inner\.weight is \(6, 4\) in the file and \(7, 4\)'),
    (lambda cfg: cfg.optim_wrapper.update(paramwise_cfg=dict(bias_lr_mult=2.0)), 'its optimizer does not fit'),
    (lambda cfg: cfg.param_scheduler.pop(), r"the checkpoint has \['LinearLR', 'CosineAnnealingLR'\], the config"),
])
def test_resume_is_strict(tmp_path, change, message):
    train(config(tmp_path, epochs=1))
    cfg = config(tmp_path, epochs=2)
    cfg.resume = True
    change(cfg)
    with pytest.raises(CheckpointError, match=message):
        train(cfg)


def test_finetune_counts_what_matched_and_survives_an_early_end(tmp_path):
    train(config(tmp_path / 'one', epochs=1))
    cfg = config(tmp_path / 'two', epochs=1, model=dict(extra=True))
    cfg.load_from, cfg.log_level = str(tmp_path / 'one' / 'best_model.pth'), 'INFO'
    log = log_of(train(cfg))
    assert '10 matched, 2 missing, 0 unexpected; missing: extra.weight, extra.bias' in log
    # A run that ends before its first checkpoint would otherwise be resumed from random weights.
    start = load(tmp_path / 'two' / 'iter_0.pth')
    best = load(tmp_path / 'one' / 'best_model.pth')['state_dict']
    assert all(torch.equal(start['state_dict'][name], best[name]) for name in best)
    assert start['meta']['iter'] == 0


def test_finetune_fails_without_matches_and_on_shapes(tmp_path):
    torch.save({'state_dict': {'other.weight': torch.ones(2)}}, tmp_path / 'other.pth')
    cfg = config(tmp_path / 'run', epochs=1)
    cfg.load_from = str(tmp_path / 'other.pth')
    with pytest.raises(CheckpointError, match=r'no parameter of ToyModel is in it \(0 matched, 10 missing, 1 unexp'):
        train(cfg)
    torch.save({'state_dict': {'outer.weight': torch.ones(1, 9)}}, tmp_path / 'other.pth')
    with pytest.raises(CheckpointError, match=r'outer\.weight is \(1, 9\) in the file and \(1, 6\) in the model'):
        train(cfg)


def test_runners_of_the_same_second_share_nothing(tmp_path):
    runners = [MotionRunner.from_cfg(config(tmp_path / name, epochs=1)) for name in 'abc']
    for part in ('experiment_name', 'timestamp', 'message_hub', 'logger', 'visualizer'):
        assert len({id(getattr(runner, part)) for runner in runners}) == 3, part
    assert len({runner.experiment_name for runner in runners}) == 3
    cfg = config(tmp_path / 'd', epochs=1)
    cfg.visualizer = dict(type='Visualizer', name='visualizer', vis_backends=[dict(type='ScalarsVisBackend')])
    one = MotionRunner.from_cfg(cfg)
    cfg.work_dir = str(tmp_path / 'e')
    assert one.visualizer is not MotionRunner.from_cfg(cfg).visualizer


def test_errors_in_hooks_keep_their_traceback(tmp_path):
    from mmengine.hooks import Hook

    class Broken(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            return len(None)

    cfg = config(tmp_path, epochs=1)
    runner = MotionRunner.from_cfg(cfg)
    runner.register_hook(Broken())
    with pytest.raises(TypeError) as caught:
        runner.train()
    assert any(entry.name == 'before_train_iter' and 'len(None)' in str(entry.statement) for entry in caught.traceback)
    assert caught.value.__notes__ == ['Raised in Broken.before_train_iter.']


def test_loops_are_chosen_by_their_length(tmp_path):
    cfg = config(tmp_path, epochs=1)
    cfg.train_cfg, cfg.val_cfg, cfg.test_cfg = dict(by_epoch=True, max_epochs=1), dict(), dict()
    runner = MotionRunner.from_cfg(cfg)
    assert isinstance(runner.build_train_loop(cfg.train_cfg), EpochLoop)
    assert isinstance(runner.build_train_loop(dict(max_iters=3)), IterLoop)
    assert isinstance(runner.val_loop, EvalLoop) and runner.val_loop.mode == 'val'
    assert isinstance(runner.test_loop, EvalLoop) and runner.test_loop.mode == 'test'
    with pytest.raises(ConfigError, match='found EpochBasedTrainLoop, expected EpochLoop or IterLoop'):
        runner.build_train_loop(dict(type='EpochBasedTrainLoop', max_epochs=1))


def test_default_runtime_builds_and_trains(tmp_path):
    from tests.conftest import REPO
    base = Config.fromfile(REPO / 'configs' / '_base_' / 'default_runtime.py')
    assert base.default_scope == 'motionlab' and base.runner_type == 'MotionRunner'
    cfg = config(tmp_path, epochs=1).to_dict()
    for key in ('default_hooks', 'log_processor', 'randomness', 'load_from', 'resume'):
        del cfg[key]
    cfg.update({key: value for key, value in base.to_dict().items() if key != 'log_level'})
    runner = train(Config(cfg))
    assert (tmp_path / 'best_model.pth').exists() and runner.seed == 0
    names = {type(hook).__name__ for hook in runner.hooks}
    assert {'IterationSeedHook', 'FiniteLossHook', 'CheckpointHook', 'RuntimeInfoHook'} <= names


def test_default_hooks_can_be_dropped(tmp_path):
    cfg = config(tmp_path, epochs=1)
    cfg.default_hooks.update(timer=None, sampler_seed=None, logger=None, finite_loss=None)
    names = {type(hook).__name__ for hook in train(cfg).hooks}
    assert not {'IterTimerHook', 'LoggerHook', 'FiniteLossHook', 'DistSamplerSeedHook'} & names


def test_deterministic_mode_configures_cublas(tmp_path, monkeypatch):
    monkeypatch.delenv('CUBLAS_WORKSPACE_CONFIG', raising=False)
    cfg = config(tmp_path, epochs=1)
    cfg.randomness = dict(seed=0, deterministic=True)
    try:
        MotionRunner.from_cfg(cfg)
        assert os.environ['CUBLAS_WORKSPACE_CONFIG'] == ':4096:8'
    finally:
        torch.use_deterministic_algorithms(False)


def test_tf32_is_for_runs_that_ask_for_it(tmp_path):
    products, cfg = torch.backends.cuda.matmul, config(tmp_path, epochs=1)
    cfg.env_cfg = dict(cfg.get('env_cfg', {}), allow_tf32=True)
    try:
        MotionRunner.from_cfg(cfg)
        assert products.allow_tf32
        del cfg.env_cfg['allow_tf32']
        MotionRunner.from_cfg(cfg)
        assert not products.allow_tf32
    finally:
        products.allow_tf32 = False
