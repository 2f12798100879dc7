import pytest
import torch
from mmengine.hooks import Hook

from motionlab.registry import HOOKS
from tests.frame_models import run_config
from tests.frame_stores import write_frame_store
from tests.test_engine.toy import train

SPLITS = ('train', 'val')


@HOOKS.register_module(force=True)
class WatchMode(Hook):
    """Modes of all modules before validation, in it and after it, and in the next training step."""

    priority = 'LOWEST'

    def __init__(self):
        self.seen = {'before': [], 'in': [], 'after': [], 'next': []}

    def _look(self, when, runner):
        self.seen[when].append([module.training for module in runner.bare_model.modules()])

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self._look('before', runner)

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        self._look('in', runner)

    def safe_point(self, runner):
        self._look('after', runner)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self._look('next', runner)


@pytest.mark.parametrize('size', [1, 2, 3])
@pytest.mark.parametrize('frame', [(16, 16), (16, 24)])
@pytest.mark.parametrize('loop', ['IterLoop', 'EpochLoop'])
def test_pacman_06_validation_in_training(size, frame, loop, tmp_path):
    """Validation during training at batch 1, 2, 3, square and non-square sizes runs; the mode after it equals the mode
    before.
    """
    pytest.importorskip('diffusers')
    store = tmp_path / 'store'
    write_frame_store(store, (4, 4), size=frame, splits=SPLITS, noisy=True)
    cfg = run_config(store, tmp_path / 'run', train_dataloader__batch_size=size, val_dataloader__batch_size=size,
                     model__backbone__history='conv3d', model__backbone__norm='batch')
    length = dict(max_epochs=2) if loop == 'EpochLoop' else dict(max_iters=3)
    cfg.train_cfg = dict(type=loop, val_interval=1, **length)
    cfg.default_hooks.checkpoint.by_epoch = loop == 'EpochLoop'
    cfg.custom_hooks.append(dict(type='WatchMode'))
    runner = train(cfg)
    seen = next(hook for hook in runner.hooks if isinstance(hook, WatchMode)).seen
    assert len(seen['after']) > 1 and len(seen['in']) >= 2 * -(-3 // size)
    for when in ('before', 'after', 'next'):
        assert all(all(modes) for modes in seen[when]), when
    assert not any(any(modes) for modes in seen['in'])
    scalars = (tmp_path / 'run/logs/scalars.json').read_text()
    assert '"psnr"' in scalars and '"copy_last_psnr"' in scalars


def test_pacman_06_validation_leaves_statistics_alone(tmp_path):
    """Running statistics of batch norm are those of training steps: validating more often changes nothing."""
    pytest.importorskip('diffusers')
    store = tmp_path / 'store'
    write_frame_store(store, (6, 4), size=(16, 16), splits=SPLITS, noisy=True)
    states = []
    for interval in (1, 4):
        cfg = run_config(store, tmp_path / str(interval), train_cfg__val_interval=interval,
                         model__backbone__history='conv3d', model__backbone__norm='batch')
        states.append(train(cfg).bare_model.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert any(name.endswith('running_mean') and value.abs().max() > 0 for name, value in states[0].items())
