import pytest
import torch
from mmengine.hooks import Hook

from motionlab.engine.hooks.frozen_base_hook import frozen_hash
from motionlab.registry import HOOKS
from motionlab.utils import CheckpointError, ConfigError
from tests.test_engine import toy


@HOOKS.register_module(force=True)
class TouchFrozen(Hook):
    """Changes what must not change."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        with torch.no_grad():
            runner.bare_model.frozen.weight += 1


def _config(path, **changes):
    cfg = toy.config(path, epochs=1, **changes)
    cfg.custom_hooks.append(dict(type='FrozenBaseHook'))
    return cfg


def test_fresh_weights_are_refused(tmp_path):
    for number, resume in enumerate((False, True)):
        cfg = _config(tmp_path / str(number))
        cfg.resume = resume  # From nothing: a run that is to be resumed where it never began.
        with pytest.raises(ConfigError, match='--finetune CHECKPOINT'):
            toy.train(cfg)


def test_changes_are_noticed(tmp_path):
    toy.train(toy.config(tmp_path / 'base', epochs=1))
    cfg = _config(tmp_path / 'good')
    cfg.load_from = str(tmp_path / 'base/epoch_1.pth')
    runner = toy.train(cfg)
    cfg = _config(tmp_path / 'bad')
    cfg.load_from = str(tmp_path / 'base/epoch_1.pth')
    cfg.custom_hooks.append(dict(type='TouchFrozen'))
    with pytest.raises(CheckpointError, match=f'had the sha256 {frozen_hash(runner.bare_model)}, now'):
        toy.train(cfg)


def test_the_hash_is_of_frozen_weights_only():
    model = toy.ToyModel()
    before = frozen_hash(model)
    with torch.no_grad():
        model.outer.weight += 1
    assert frozen_hash(model) == before
    with torch.no_grad():
        model.frozen.bias += 1
    assert frozen_hash(model) != before
