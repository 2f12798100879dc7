"""An iteration can be a step of the optimizer, however many batches that takes."""

import json

import pytest
import torch

from motionlab.engine import MotionRunner
from motionlab.engine.hooks import FiniteLossHook, NonFiniteError
from tests.test_engine.toy import StopAt, config, stop_and_resume, train


def in_steps(work_dir, steps: int = 8, accumulate: int = 3, **changes):
    cfg = config(work_dir, iters=steps, accumulate=accumulate, **changes)
    cfg.train_cfg.optimizer_steps = True
    return cfg


def test_counts_schedules_checkpoints_and_logs_are_in_optimizer_steps(tmp_path, monkeypatch):
    steps = []
    adam = torch.optim.AdamW.step
    monkeypatch.setattr(torch.optim.AdamW, 'step', lambda self, *args, **kwargs: (
        steps.append(self.param_groups[0]['lr']), adam(self, *args, **kwargs))[1])
    runner = train(in_steps(tmp_path))
    assert len(steps) == runner.iter == 8 and runner.train_loop.batches_seen == 24
    assert runner.train_loop.state()['samples_seen'] == 24 * 4
    assert steps[0] == pytest.approx(0.002) and steps[5] == pytest.approx(0.02) and steps[7] < steps[6] < steps[5]
    assert sorted(path.name for path in tmp_path.glob('iter_*')) == ['iter_6.pth', 'iter_8.pth']
    lines = [json.loads(line) for line in (tmp_path / 'logs/scalars.json').open()]
    assert [line['step'] for line in lines if 'loss_mse' in line] == [2, 4, 6, 8]


def test_logged_losses_are_means_over_the_batches_of_a_step(tmp_path):
    losses, means = [], []
    runner = MotionRunner.from_cfg(in_steps(tmp_path, steps=6))
    step = runner.model.train_step
    runner.model.train_step = lambda *args, **kwargs: losses.append(step(*args, **kwargs)) or losses[-1]
    hook = next(each for each in runner.hooks if isinstance(each, FiniteLossHook))
    look = hook.after_train_iter
    hook.after_train_iter = lambda runner, **kwargs: (means.append(kwargs), look(runner, **kwargs))
    runner.train()
    assert len(losses) == 18 and len(means) == 6
    torch.testing.assert_close(means[1]['outputs']['loss'], torch.stack([each['loss'] for each in losses[3:6]]).mean())
    assert means[1]['data_batch']['sample_index'].shape == (12,)


def test_resume_is_exact(tmp_path):
    whole = train(in_steps(tmp_path / 'whole'))
    parts = stop_and_resume(in_steps(tmp_path / 'parts'), 3, 5)
    assert parts.iter == 8
    for name, value in whole.bare_model.state_dict().items():
        assert torch.equal(value, parts.bare_model.state_dict()[name]), name


def test_a_checkpoint_never_holds_half_a_step(tmp_path):
    cfg = in_steps(tmp_path)
    cfg.custom_hooks.append(dict(type='StopAt', iteration=3))
    train(cfg)
    assert StopAt and 'accumulated_grads' not in torch.load(tmp_path / 'iter_3.pth')


def test_a_step_on_three_batches_is_one_on_their_samples_together(tmp_path):
    torch.manual_seed(0)
    weights = {}
    for name, size, count in (('large', 12, 1), ('small', 4, 3)):
        cfg = in_steps(tmp_path / name, steps=6, accumulate=count, batch_size=size, ema=False)
        runner = MotionRunner.from_cfg(cfg)
        runner.model.dropout.p = 0.0
        runner.model.norm = torch.nn.Identity()  # Statistics of batches would differ.
        runner.train()
        weights[name] = runner.bare_model.state_dict()
    for key, value in weights['large'].items():
        torch.testing.assert_close(weights['small'][key], value)


def test_a_broken_sample_is_named_whichever_batch_it_is_in(tmp_path):
    cfg = in_steps(tmp_path)
    cfg.train_dataloader.dataset.broken = 7
    with pytest.raises(NonFiniteError, match=r'sample_index \[.*\b7\b.*\]'):
        train(cfg)
