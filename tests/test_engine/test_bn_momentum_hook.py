import math

import pytest
from mmengine.hooks import Hook

from motionlab.engine.hooks import BNMomentumHook
from motionlab.registry import HOOKS, MODELS
from motionlab.utils import ConfigError
from tests.test_engine.toy import ToyModel, assert_same_run, config, stop_and_resume, train


@HOOKS.register_module(force=True)
class MomentumLog(Hook):
    """Remember the momentum that every iteration has used."""

    seen: dict[int, float] = {}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.seen[runner.iter] = runner.bare_model.norm.momentum


@MODELS.register_module(force=True)
class NoNorm(ToyModel):
    def __init__(self):
        super().__init__()
        self.norm = self.dropout


def with_hook(work_dir, **changes):
    MomentumLog.seen.clear()
    cfg = config(work_dir, **changes)
    cfg.custom_hooks += [dict(type='BNMomentumHook'), dict(type='MomentumLog')]
    return cfg


def test_epochs_follow_videopose3d(tmp_path):
    train(with_hook(tmp_path, epochs=4))
    expected = {i: 0.1 * math.exp(-(i // 6) / 4 * math.log(100)) for i in range(24)}
    assert MomentumLog.seen == pytest.approx(expected)


def test_iterations_decay_too(tmp_path):
    train(with_hook(tmp_path, iters=10))
    assert MomentumLog.seen == pytest.approx({i: 0.1 * 0.01 ** (i / 10) for i in range(10)})


@pytest.mark.parametrize(('length', 'stops', 'last'), [
    (dict(epochs=3), (7, 14), 'epoch_3.pth'), (dict(iters=12), (5,), 'iter_12.pth')])
def test_a_resumed_run_goes_on_with_its_momentum(tmp_path, length, stops, last):
    train(with_hook(tmp_path / 'whole', **length))
    whole = dict(MomentumLog.seen)
    stop_and_resume(with_hook(tmp_path / 'parts', **length), *stops)
    assert MomentumLog.seen == whole
    assert_same_run(tmp_path / 'whole', tmp_path / 'parts', last)


def test_wrong_values():
    with pytest.raises(ConfigError, match=r'found initial=0, final=0\.1'):
        BNMomentumHook(initial=0, final=0.1)


def test_a_model_without_batch_normalisation(tmp_path):
    cfg = with_hook(tmp_path, epochs=1)
    cfg.model = dict(type='NoNorm')
    cfg.custom_hooks.pop()
    with pytest.raises(ConfigError, match='no batch normalisation'):
        train(cfg)
