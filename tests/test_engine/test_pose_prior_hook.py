"""What the hook tells model, log and checkpoints."""

import re

import pytest
import torch
from mmengine.hooks import Hook

from motionlab.engine import MotionRunner
from motionlab.engine.checkpoint import load_checkpoint_file
from motionlab.registry import HOOKS
from motionlab.utils import ConfigError
from tests.pose_priors import pose_prior_config, write_pose_splits
from tests.test_engine import toy


@HOOKS.register_module(force=True)
class WatchEpoch(Hook):
    """Remember the epoch that the model was told, by iteration."""

    priority = 'LOW'

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        self.seen = {**getattr(self, 'seen', {}), runner.iter: runner.bare_model.epoch}


def _seen(runner) -> dict[int, int]:
    return next(hook for hook in runner.hooks if isinstance(hook, WatchEpoch)).seen


@pytest.fixture
def data(tmp_path):
    return write_pose_splits(tmp_path / 'data')


def _config(data, body, work_dir, **options):
    cfg = pose_prior_config(data, body, work_dir, model__head__extra_terms_until_epoch=1, **options)
    cfg.custom_hooks.append(dict(type='WatchEpoch'))
    return cfg


def _log(work_dir) -> str:
    logs = sorted((work_dir / 'logs').glob('*.log'), key=lambda path: path.stem)  # Of one second: x, then x-1.
    return ''.join(path.read_text() for path in logs)


def test_epochs_are_those_of_the_loop_also_after_a_resume(data, small_body_file, tmp_path):
    cfg = _config(data, small_body_file, tmp_path / 'w', train_cfg__max_epochs=3)  # 32 of 33 samples: 4 iterations.
    cfg.custom_hooks.append(dict(type='StopAt', iteration=6))
    runner = toy.train(cfg)
    assert _seen(runner) == {0: 0, 1: 0, 2: 0, 3: 0, 4: 1, 5: 1}
    cfg.custom_hooks.pop()
    cfg.resume = True
    assert _seen(toy.train(cfg)) == {6: 1, 7: 1, **dict.fromkeys(range(8, 12), 2)}
    log = _log(tmp_path / 'w')
    assert log.count('Epoch 1 (from 0), iteration 4: geo and jtr_l1 do not count any more') == 1
    assert 'Epoch 0 (from 0), iteration 0: geo and jtr_l1 count in the loss' in log
    prints = re.findall(r'Fingerprint of the weights .*: (.*)', log)  # First run's end, resumed, second run's end.
    assert len(prints) == 3 and prints[0] == prints[1] != prints[2]


def test_without_epochs_a_pass_over_the_data_counts(data, small_body_file, tmp_path):
    cfg = _config(data, small_body_file, tmp_path / 'w')
    cfg.train_cfg = dict(type='IterLoop', max_iters=9, val_interval=9)
    cfg.param_scheduler = []
    runner = toy.train(cfg)  # Batches of 8 from 33 samples: 32 samples are seen before iteration 4, 40 before 5.
    assert _seen(runner) == {**dict.fromkeys(range(5), 0), **dict.fromkeys(range(5, 9), 1)}


def test_checkpoints_name_the_body_and_hold_none_of_it(data, small_body_file, tmp_path):
    toy.train(_config(data, small_body_file, tmp_path / 'w', train_cfg__max_epochs=1))
    for name in ('epoch_1.pth', 'best_model.pth'):
        saved = load_checkpoint_file(tmp_path / 'w' / name)
        assert small_body_file.name in saved['meta']['body'] and 'smplx' in saved['meta']['body']
        assert len(saved['state_dict']) == 26
        assert all(key.startswith(('backbone.encoder_net.', 'backbone.decoder_net.')) for key in saved['state_dict'])
        shapes = [tuple(value.shape) for _, value in toy._leaves(saved) if isinstance(value, torch.Tensor)]
        assert max(max(shape, default=0) for shape in shapes) == 126  # No axis of vertices anywhere.


def test_numbers_of_fresh_weights_behind_a_checkpoint_are_noticed(data, small_body_file, tmp_path):
    cfg = _config(data, small_body_file, tmp_path / 'w', model__backbone__latent_dim=32, train_cfg__max_epochs=1)
    cfg.optim_wrapper.optimizer.lr = 0.0
    toy.train(cfg)
    MotionRunner.from_cfg(cfg).test()  # Fresh weights are expected to look fresh.
    assert 'what UNTRAINED weights give' not in _log(tmp_path / 'w')
    cfg.load_from = str(tmp_path / 'w/epoch_1.pth')
    MotionRunner.from_cfg(cfg).test()
    assert _log(tmp_path / 'w').count('are what UNTRAINED weights give') == 2  # One for each test set.


def test_another_model_is_refused(tmp_path):
    cfg = toy.config(tmp_path)
    cfg.default_hooks.pose_prior = dict(type='PosePriorHook')
    with pytest.raises(ConfigError, match='PosePriorHook: found a ToyModel, expected a PosePrior'):
        toy.train(cfg)
