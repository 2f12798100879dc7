import pytest
import torch
from mmengine.hooks import Hook

from motionlab.engine import MotionRunner
from motionlab.engine.checkpoint import load_checkpoint_file
from motionlab.registry import HOOKS
from tests.motion_models import run_config, same, write_motion_splits
from tests.test_engine import toy

DECAY, PER_EPOCH = 0.999, 3
WATCHED = 'backbone.in_fc.weight'


@HOOKS.register_module(force=True)
class WatchWeights(Hook):
    """Weights after every step, and the weights that validation sees after every epoch."""

    priority = 'LOWEST'

    def __init__(self):
        self.raw, self.evaluated = [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.raw.append(runner.bare_model.state_dict()[WATCHED].clone())

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        if batch_idx == 0:
            self.evaluated.append(runner.bare_model.state_dict()[WATCHED].clone())


@pytest.mark.parametrize(('ratio', 'epochs', 'begin'), [(0.05, 4, 1), (0.5, 4, 3), (0.5, 5, 3)])
def test_primal_14_ema_training(ratio, epochs, begin, small_body_file, tmp_path):
    """EMA: starts after the ratio (epoch > ratio * max_epochs; its first step only copies), decays per step, saved."""
    cfg = run_config(write_motion_splits(tmp_path / 'data'), small_body_file, tmp_path / 'run',
                     train_cfg__max_epochs=epochs, optim_wrapper__optimizer__lr=1e-2)
    assert dict(cfg.custom_hooks[0]) == dict(type='EMAHook', decay=DECAY, begin_ratio=0.05)  # As published.
    cfg.custom_hooks[0].begin_ratio = ratio
    cfg.custom_hooks.append(dict(type='WatchWeights'))
    watch = next(hook for hook in toy.train(cfg).hooks if isinstance(hook, WatchWeights))
    assert len(watch.raw) == epochs * PER_EPOCH
    average, previous = None, watch.raw[0]
    for step, raw in enumerate(watch.raw):
        epoch = step // PER_EPOCH
        started, average = average is not None, raw if epoch < begin or average is None else torch.lerp(
            average, raw, 1 - DECAY)
        if epoch < begin:
            average = None
        if step == begin * PER_EPOCH:
            assert not started and torch.equal(average, raw)
        if (step + 1) % PER_EPOCH == 0:
            assert torch.equal(watch.evaluated[epoch], raw if average is None else average)
        assert step == 0 or not torch.equal(raw, previous)
        previous = raw
    saved = load_checkpoint_file(tmp_path / f'run/epoch_{epochs}.pth')
    assert torch.equal(saved['state_dict'][WATCHED], average)
    assert torch.equal(saved['raw_state_dict'][WATCHED], watch.raw[-1]) and not torch.equal(average, watch.raw[-1])
    assert saved['raw_state_dict'].keys() == saved['state_dict'].keys()  # Everything of this model is trained.
    cfg.custom_hooks, cfg.load_from = [], str(tmp_path / f'run/epoch_{epochs}.pth')
    tested = MotionRunner.from_cfg(cfg)
    tested.test()
    assert same(tested.bare_model.state_dict(), saved['state_dict'])  # Used by default.
