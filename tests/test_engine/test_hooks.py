import json
import os
import signal

import pytest
import torch
from mmengine.hooks import Hook

from motionlab.engine import MotionRunner
from motionlab.engine.hooks import CheckpointHook, EMAHook, NonFiniteError
from motionlab.engine.hooks.metric_rule import infer_rule, is_better
from motionlab.registry import HOOKS
from motionlab.utils import ConfigError
from tests.test_engine.toy import assert_same_run, config, load, stop_and_resume, train


def names(work_dir) -> set[str]:
    return {path.name for path in work_dir.glob('*.pth')} - {'best_model.pth'}


# ---- CheckpointHook ---------------------------------------------------------------------------------------------


def test_interval_and_number_kept(tmp_path):
    cfg = config(tmp_path, epochs=7)
    cfg.default_hooks.checkpoint.update(interval=2, max_keep_ckpts=2)
    train(cfg)
    assert names(tmp_path) == {'epoch_6.pth', 'epoch_7.pth'}


def test_only_the_end_with_interval_minus_one(tmp_path):
    cfg = config(tmp_path, iters=8)
    cfg.default_hooks.checkpoint.interval = -1
    train(cfg)
    assert names(tmp_path) == {'iter_8.pth'}


def test_iteration_checkpoints_in_an_epoch_loop(tmp_path):
    cfg = config(tmp_path, epochs=2)
    cfg.default_hooks.checkpoint.update(by_epoch=False, interval=5)
    train(cfg)
    assert names(tmp_path) == {'iter_5.pth', 'iter_10.pth', 'iter_12.pth'}
    assert load(tmp_path / 'iter_10.pth')['meta']['epoch'] == 1


def test_the_old_checkpoint_goes_after_the_new_one_is_there(tmp_path, monkeypatch):
    cfg = config(tmp_path, epochs=3)
    cfg.default_hooks.checkpoint.max_keep_ckpts = 1
    present = []
    replace = os.replace
    monkeypatch.setattr(os, 'replace', lambda a, b: (present.append(names(tmp_path)), replace(a, b)))
    train(cfg)
    assert {'epoch_1.pth'} in present and {'epoch_2.pth'} in present
    assert names(tmp_path) == {'epoch_3.pth'}


def test_best_model_is_the_best_validation(tmp_path):
    train(config(tmp_path, epochs=6))
    errors = {line['step']: line['error'] for line in map(json.loads, (tmp_path / 'logs' / 'scalars.json').open())
              if 'error' in line}
    best = load(tmp_path / 'best_model.pth')
    assert best['meta']['iter'] == min(errors, key=errors.get)
    info = load(tmp_path / 'epoch_6.pth')['message_hub']['info']
    assert (info['best_metric'], info['best_score']) == ('error', min(errors.values()))


def test_auto_takes_the_first_metric(tmp_path):
    cfg = config(tmp_path, epochs=1)
    cfg.default_hooks.checkpoint.save_best = 'auto'
    train(cfg)
    assert load(tmp_path / 'epoch_1.pth')['message_hub']['info']['best_metric'] == 'error'


@pytest.mark.parametrize(('metric', 'message'), [
    ('MPJPE', "CheckpointHook.save_best: the validation has no metric 'MPJPE'. It has: error, samples."),
    ('samples', "CheckpointHook.rule: whether a smaller 'samples' is better cannot be told")])
def test_a_wrong_metric_is_an_error_at_the_first_validation(tmp_path, metric, message):
    cfg = config(tmp_path, epochs=2)
    cfg.default_hooks.checkpoint.save_best = metric
    with pytest.raises(ConfigError) as caught:
        train(cfg)
    assert str(caught.value).startswith(message)


def test_rules_by_name():
    less = ['MPJPE', 'P-MPJPE', 'bandai2/MPJPE', 'MPJPE/action-wise', 'MPJVE', 'val_loss']
    greater = ['PCK@150', 'AUC', 'cmu/AUC', 'accuracy']
    assert {infer_rule(name, 'x') for name in less} == {'less'}
    assert {infer_rule(name, 'x') for name in greater} == {'greater'}
    assert is_better('less', 1.0, None) and not is_better('less', float('nan'), None)
    assert not is_better('greater', float('nan'), 1.0)


@pytest.mark.parametrize('options', [dict(interval=0), dict(max_keep_ckpts=0), dict(rule='smaller')])
def test_wrong_settings(options):
    with pytest.raises(ConfigError, match='CheckpointHook'):
        CheckpointHook(**options)


@HOOKS.register_module(force=True)
class SignalAt(Hook):
    """Send this process a signal in the middle of an iteration."""

    def __init__(self, iteration: int, number: int):
        self.iteration, self.number = iteration, number

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter + 1 == self.iteration:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_signals_stop_at_the_next_safe_point(tmp_path, number):
    handler = signal.getsignal(number)
    train(config(tmp_path / 'whole', epochs=2))
    cfg = config(tmp_path / 'stopped', epochs=2)
    cfg.custom_hooks.append(dict(type='SignalAt', iteration=9, number=int(number)))
    runner = train(cfg)
    assert (runner.iter, runner.stopped_by) == (9, number)
    assert names(tmp_path / 'stopped') == {'epoch_1.pth', 'iter_9.pth'}
    assert signal.getsignal(number) is handler
    cfg = config(tmp_path / 'stopped', epochs=2)
    cfg.resume = True
    train(cfg)
    assert_same_run(tmp_path / 'whole', tmp_path / 'stopped', 'epoch_2.pth')


def test_signals_are_given_back_after_an_error(tmp_path):
    handler = signal.getsignal(signal.SIGINT)
    cfg = config(tmp_path, epochs=1)
    cfg.default_hooks.checkpoint.save_best = 'MPJPE'
    with pytest.raises(ConfigError):
        train(cfg)
    assert signal.getsignal(signal.SIGINT) is handler


# ---- EMAHook ----------------------------------------------------------------------------------------------------


@HOOKS.register_module(force=True)
class Record(Hook):
    """Raw weights after each iteration, and what validation evaluates."""

    priority = 'LOWEST'

    def __init__(self):
        self.raw, self.evaluated = [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.raw.append({name: value.clone() for name, value in runner.bare_model.state_dict().items()})

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        if batch_idx == 0:
            self.evaluated.append({name: value.clone() for name, value in runner.bare_model.state_dict().items()})


@pytest.mark.parametrize(('begin', 'accumulate'), [(dict(), 1), (dict(begin_iter=3), 2), (dict(begin_epoch=1), 1),
                                                   (dict(begin_ratio=0.4), 1)])
def test_average_over_optimizer_steps(tmp_path, begin, accumulate):
    cfg = config(tmp_path, epochs=2, ema=False, accumulate=accumulate)
    cfg.custom_hooks = [dict(type='EMAHook', decay=0.9, **begin), dict(type='Record')]
    runner = train(cfg)
    record = next(hook for hook in runner.hooks if isinstance(hook, Record))
    first = begin.get('begin_iter', 6 * begin.get('begin_epoch', 'begin_ratio' in begin))
    average, previous = None, -1
    for iteration, raw in enumerate(record.raw):
        if (iteration + 1) % accumulate == 0:
            started = average is not None and previous >= first
            average = torch.lerp(average, raw['inner.weight'], 0.1) if started else raw['inner.weight']
            previous = iteration
        if iteration in (5, 11):
            assert torch.equal(record.evaluated[iteration // 6]['inner.weight'], average)
            assert torch.equal(record.evaluated[iteration // 6]['norm.running_var'], raw['norm.running_var'])
    saved = load(tmp_path / 'epoch_2.pth')
    assert torch.equal(saved['state_dict']['inner.weight'], average)
    assert torch.equal(saved['raw_state_dict']['inner.weight'], record.raw[-1]['inner.weight'])
    assert torch.equal(runner.bare_model.inner.weight, record.raw[-1]['inner.weight'])


def test_frozen_parameters_are_not_copied(tmp_path):
    runner = train(config(tmp_path, epochs=1))
    hook = next(hook for hook in runner.hooks if isinstance(hook, EMAHook))
    assert set(hook.average) == {'inner.weight', 'norm.weight', 'norm.bias', 'outer.weight', 'outer.bias'}


def test_tied_parameters_have_one_average():
    model = torch.nn.ModuleDict({'a': torch.nn.Linear(2, 2), 'b': torch.nn.Linear(2, 2)})
    model['b'].weight = model['a'].weight
    hook = EMAHook()
    hook._take(model, {})
    assert hook.average['a.weight'] is hook.average['b.weight'] and len(hook._averages) == 3


def test_a_run_may_gain_or_lose_the_average_at_resume(tmp_path):
    train(config(tmp_path, epochs=1, ema=False))
    for epochs, ema in ((2, True), (3, False)):
        cfg = config(tmp_path, epochs=epochs, ema=ema)
        cfg.resume = True
        train(cfg)
        assert ('raw_state_dict' in load(tmp_path / f'epoch_{epochs}.pth')) is ema


def test_the_average_begins_after_a_share_of_the_iterations(tmp_path):
    cfg = config(tmp_path, iters=10, ema=False, accumulate=1)
    cfg.custom_hooks = [dict(type='EMAHook', decay=0.5, begin_ratio=0.3), dict(type='Record')]
    raw = [each['inner.weight'] for each in next(hook for hook in train(cfg).hooks if isinstance(hook, Record)).raw]
    average = raw[4]  # Iteration 4 (from 0) is the first above 0.3 * 10; it copies.
    for weights in raw[5:]:
        average = torch.lerp(average, weights, 0.5)
    assert torch.equal(load(tmp_path / 'iter_10.pth')['state_dict']['inner.weight'], average)


def test_the_decay_grows_with_warmup_and_resumes(tmp_path):
    cfg = config(tmp_path / 'whole', iters=20, ema=False, accumulate=1)
    cfg.custom_hooks = [dict(type='EMAHook', decay=0.6, warmup=True), dict(type='Record')]
    raw = [each['inner.weight'] for each in next(hook for hook in train(cfg).hooks if isinstance(hook, Record)).raw]
    average = raw[0]  # The first step copies.
    for step, weights in enumerate(raw[1:], start=1):
        average = torch.lerp(average, weights, 1 - min(0.6, (1 + step) / (10 + step)))  # 2 / 11, 3 / 12, ... 0.6
    saved = load(tmp_path / 'whole/iter_20.pth')
    assert torch.equal(saved['state_dict']['inner.weight'], average)
    cfg.work_dir = str(tmp_path / 'parts')
    stop_and_resume(cfg, 4)
    assert torch.equal(load(tmp_path / 'parts/iter_20.pth')['state_dict']['inner.weight'], average)


@pytest.mark.parametrize('options', [dict(decay=1.0), dict(begin_iter=1, begin_epoch=1), dict(begin_ratio=1.0),
                                     dict(begin_ratio=-0.1), dict(begin_epoch=1, begin_ratio=0.1)])
def test_wrong_ema_settings(options):
    with pytest.raises(ConfigError, match='EMAHook'):
        EMAHook(**options)


# ---- FiniteLossHook ---------------------------------------------------------------------------------------------


def test_a_broken_sample_is_named(tmp_path):
    cfg = config(tmp_path, epochs=2)
    cfg.train_dataloader.dataset.broken = 13
    order = list(MotionRunner.from_cfg(config(tmp_path / 'other')).train_loop.stream.sampler)
    iteration = order.index(13) // 4 + 1
    with pytest.raises(NonFiniteError) as caught:
        train(cfg)
    message = str(caught.value)
    assert message.startswith(f'loss_mse = nan, magnitude = nan at iteration {iteration}; sample_index [')
    assert str(order[4 * (iteration - 1):4 * iteration]) in message
    assert not names(tmp_path)


def test_broken_weights_are_never_saved(tmp_path):
    cfg = config(tmp_path, epochs=1)
    runner = MotionRunner.from_cfg(cfg)
    with torch.no_grad():
        runner.model.frozen.bias.fill_(float('inf'))  # Init keeps it; the loss sees it.
    runner.train_loop.runner.call_hook('before_run')
    with pytest.raises(NonFiniteError, match=r'frozen\.bias \(state_dict\) is not finite'):
        runner.call_hook('before_save_checkpoint', checkpoint={'state_dict': runner.bare_model.state_dict()})


def test_losses_on_a_device_are_looked_at_late_but_before_saving():
    from motionlab.engine.hooks import FiniteLossHook

    class Runner:
        iter = 0

    class OnDevice(torch.Tensor):  # Says it is on CUDA, as tests have none.
        is_cuda = True

    hook = FiniteLossHook(interval=3)
    outputs = {'loss': torch.tensor(float('inf')), 'loss_a': torch.tensor(float('inf'))}
    real, torch.stack = torch.stack, lambda tensors: real(tensors).as_subclass(OnDevice)
    try:
        hook.after_train_iter(Runner, 0, {'sample_index': torch.tensor([4, 2])}, outputs)
        with pytest.raises(NonFiniteError, match=r'^loss_a = inf at iteration 1; sample_index \[4, 2\]'):
            hook.before_save_checkpoint(Runner, {})
        Runner.iter = 7
        hook.after_train_iter(Runner, 7, {}, outputs)
        Runner.iter = 8
        hook.after_train_iter(Runner, 8, {}, {'loss': torch.tensor(1.0)})
        with pytest.raises(NonFiniteError, match=r'^loss_a = inf at iteration 8; the batch has no sample_index'):
            hook.after_train_iter(Runner, 9, {}, {'loss': torch.tensor(1.0)})
    finally:
        torch.stack = real


# ---- EarlyStoppingHook ------------------------------------------------------------------------------------------


def _stopping(work_dir):
    cfg = config(work_dir, epochs=8)
    cfg.custom_hooks.append(dict(type='EarlyStoppingHook', monitor='error', min_delta=100.0, patience=3))
    return cfg


def test_early_stopping_counts_on_after_a_resume(tmp_path):
    assert train(_stopping(tmp_path / 'whole')).epoch == 4
    assert stop_and_resume(_stopping(tmp_path / 'resumed'), 9, 20).epoch == 4
    assert_same_run(tmp_path / 'whole', tmp_path / 'resumed', 'epoch_4.pth')
    cfg = _stopping(tmp_path / 'whole')
    cfg.resume = True
    assert train(cfg).epoch == 4


# ---- RuntimeInfoHook and LoggerHook -----------------------------------------------------------------------------


def test_logged_losses_are_the_mean_over_the_window(tmp_path):
    seen = []

    class Collect(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            seen.append(outputs['loss_mse'].item())

    cfg = config(tmp_path, epochs=2)
    runner = MotionRunner.from_cfg(cfg)
    runner.register_hook(Collect())
    runner.train()
    lines = [line for line in map(json.loads, (tmp_path / 'logs' / 'scalars.json').open()) if 'loss' in line]
    for line in lines:
        window = seen[max(line['step'] - 4, 0):line['step']]
        assert line['loss_mse'] == pytest.approx(sum(window) / len(window), rel=1e-6)


def test_scalars_of_a_killed_run_are_rewound(tmp_path):
    train(config(tmp_path / 'whole', epochs=2))
    train(config(tmp_path / 'killed', epochs=1))
    with open(tmp_path / 'killed' / 'logs' / 'scalars.json', 'a') as file:
        file.write('{"loss": 9.0, "iter": 8, "step": 8}\n{"loss": 3.0, "it')
    cfg = config(tmp_path / 'killed', epochs=2)
    cfg.resume = True
    train(cfg)
    steps = [json.loads(line)['step'] for line in (tmp_path / 'killed' / 'logs' / 'scalars.json').open()]
    assert steps == [json.loads(line)['step'] for line in (tmp_path / 'whole' / 'logs' / 'scalars.json').open()]


def test_tensorboard_gets_training_and_validation(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    stop_and_resume(config(tmp_path, epochs=2), 9)
    events = EventAccumulator(str(tmp_path / 'logs'), purge_orphaned_data=True)
    events.Reload()
    tags = events.Tags()['scalars']
    assert {'train/loss', 'train/lr', 'val/error'} <= set(tags) and 'train/iter' not in tags
    assert [event.step for event in events.Scalars('train/loss')] == [2, 4, 6, 8, 10, 12]
    assert [event.step for event in events.Scalars('val/error')] == [6, 12]
