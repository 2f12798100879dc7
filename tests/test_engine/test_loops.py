import json

import pytest

from motionlab.engine import MotionRunner
from motionlab.utils import ConfigError
from tests.test_engine.toy import config, loader, train


def validated_at(work_dir) -> list[int]:
    lines = map(json.loads, (work_dir / 'logs' / 'scalars.json').open())
    return [line['step'] for line in lines if 'error' in line]


def test_epoch_loop_validates_from_begin_at_intervals_and_at_the_end(tmp_path):
    cfg = config(tmp_path, epochs=6)
    cfg.train_cfg.update(val_begin=2, val_interval=4)
    train(cfg)
    assert validated_at(tmp_path) == [4 * 6, 6 * 6]


def test_iter_loop_validates_from_begin_at_intervals_and_at_the_end(tmp_path):
    cfg = config(tmp_path, iters=11)
    cfg.train_cfg.update(val_begin=5, val_interval=3)
    train(cfg)
    assert validated_at(tmp_path) == [6, 9, 11]


def test_training_goes_on_in_training_mode_after_validation(tmp_path):
    cfg = config(tmp_path, iters=8)
    cfg.train_cfg.val_interval = 1
    runner = train(cfg)
    assert runner.bare_model.norm.num_batches_tracked == 8


def test_iter_loop_runs_over_the_data_without_a_pause_or_a_short_batch(tmp_path):
    cfg = config(tmp_path, iters=50)
    sizes = []
    runner = MotionRunner.from_cfg(cfg)
    data = runner.train_loop.dataloader.dataset
    fetch = data.__getitems__
    type(data).__getitems__ = lambda self, indices: sizes.append(len(indices)) or fetch(indices)
    try:
        runner.train()
    finally:
        type(data).__getitems__ = fetch.__func__
    assert sizes.count(4) >= 50 and runner.iter == 50


def test_iter_loop_logs_iterations(tmp_path):
    cfg = config(tmp_path, iters=8)
    cfg.log_level = 'INFO'
    runner = train(cfg)
    log = (tmp_path / 'logs' / f'{runner.timestamp}.log').read_text()
    assert 'Iter(train) [8/8]' in log and 'Epoch(' not in log


def test_named_sets_are_evaluated_one_by_one(tmp_path):
    cfg = config(tmp_path, epochs=1)
    cfg.test_dataloader = [loader(size=9, shuffle=False, seed=1, name='one'),
                           loader(size=5, shuffle=False, seed=2, name='two')]
    runner = train(cfg)
    metrics = runner.test()
    assert set(metrics) == {'one/error', 'one/samples', 'two/error', 'two/samples'}
    assert (metrics['one/samples'], metrics['two/samples']) == (9, 5)

    for seed, size, name in ((1, 9, 'one'), (2, 5, 'two')):
        cfg.test_dataloader = loader(size=size, shuffle=False, seed=seed)
        cfg.load_from = str(tmp_path / 'epoch_1.pth')
        assert MotionRunner.from_cfg(cfg).test()['error'] == metrics[f'{name}/error']


@pytest.mark.parametrize('names', [('same', 'same'), ('one', '')])
def test_sets_need_different_names(tmp_path, names):
    cfg = config(tmp_path, epochs=1)
    cfg.val_dataloader = [loader(name=name, shuffle=False) for name in names]
    with pytest.raises(ConfigError, match=r'val_dataloader: found sets named .*set dataset_name'):
        train(cfg)


@pytest.mark.parametrize(('change', 'message'), [
    (lambda cfg: cfg.train_dataloader.update(sampler=dict(type='DefaultSampler')),
     'found DefaultSampler, expected ResumableSampler'),
    (lambda cfg: cfg.train_dataloader.sampler.update(round_up=False), 'expected ResumableSampler with round_up=True'),
    (lambda cfg: cfg.train_dataloader.update(batch_size=50, drop_last=True),
     '22 samples do not fill one batch of 50 over all ranks'),
    (lambda cfg: cfg.param_scheduler[1].update(by_epoch=True), 'CosineAnnealingLR has by_epoch=True'),
    (lambda cfg: cfg.default_hooks.checkpoint.update(by_epoch=True), r'CheckpointHook\.by_epoch: found True'),
])
def test_what_cannot_work_is_said_before_training(tmp_path, change, message):
    cfg = config(tmp_path, iters=8)
    change(cfg)
    with pytest.raises(ConfigError, match=message):
        train(cfg)


def test_evaluation_leaves_training_untouched(tmp_path):
    with_validation = train(config(tmp_path / 'a', epochs=2))
    cfg = config(tmp_path / 'b', epochs=2)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    without = train(cfg)
    states = [runner.bare_model.state_dict() for runner in (with_validation, without)]
    assert all((states[0][name] == states[1][name]).all() for name in states[0])
