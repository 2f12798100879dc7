import pytest

from motionlab.engine import MotionRunner
from motionlab.engine.hooks import TrainedSetHook
from motionlab.utils import CheckpointError
from tests.test_engine.toy import config


def run(work_dir, meddle=None, level='INFO'):
    cfg = config(work_dir, iters=6, ema=False)
    cfg.log_level = level
    cfg.custom_hooks = [dict(type='TrainedSetHook')]
    runner = MotionRunner.from_cfg(cfg)
    if meddle is not None:
        runner.model.register_forward_pre_hook(lambda *_: (meddle(runner.model), None)[1])
    runner.train()
    return (work_dir / 'logs' / f'{runner.timestamp}.log').read_text()


def test_what_changed_is_counted(tmp_path):
    log = run(tmp_path)
    assert 'Trained 5 parameters; the checksums of 2 others are what they were.' in log
    assert 'did not change' not in log


def test_a_frozen_parameter_that_changes_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match=r'1 parameters that take no gradients have changed.*frozen\.weight'):
        run(tmp_path, lambda model: model.frozen.weight.data.add_(1))


def test_a_trained_parameter_that_does_not_change_is_warned_about(tmp_path, monkeypatch):
    start, after = {}, TrainedSetHook.after_train

    def undo(hook, runner):
        runner.model.norm.bias.data = start['bias']
        after(hook, runner)

    monkeypatch.setattr(TrainedSetHook, 'after_train', undo)
    log = run(tmp_path, lambda model: start.setdefault('bias', model.norm.bias.detach().clone()))
    assert '1 trained parameters did not change: norm.bias' in log
