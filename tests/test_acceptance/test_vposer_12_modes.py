import copy
import json

import pytest
import torch

from motionlab.engine.checkpoint import load_checkpoint_file
from motionlab.utils import ConfigError
from tests.pose_priors import pose_prior_config, write_pose_splits
from tests.test_engine import toy

# No validation counts as progress but the first (a fall to a tenth): the rate falls after epochs 3 and 5, the run ends
# after epoch 6, by both rules of the published recipe with less patience.
LAST = 'epoch_6.pth'


def _config(folder, name, body):
    cfg = pose_prior_config(folder / 'data', body, folder / name, model__head__extra_terms_until_epoch=2,
                            train_cfg__max_epochs=20)
    cfg.param_scheduler[0].update(patience=1, threshold=0.9)
    cfg.custom_hooks[0].update(patience=5, min_delta=10.0)
    return cfg


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp('modes')
    write_pose_splits(path / 'data', {'train': 25, 'vald': 9})  # 3 iterations an epoch; one sample is left out.
    return path


@pytest.fixture(scope='module')
def whole(folder, small_body_file):
    toy.train(_config(folder, 'whole', small_body_file))
    return folder / 'whole'


def test_vposer_12_resume(whole, folder, small_body_file):
    """resume reproduces an uninterrupted run (same losses) incl. lr-plateau and early-stop state."""
    rows = [json.loads(line) for line in (whole / 'logs/scalars.json').open()]
    rates = [row['lr'] for row in rows if 'lr' in row]
    assert rates == pytest.approx([1e-3] * 9 + [1e-4] * 6 + [1e-5] * 3)
    for stops in [(4,), (9,), (13,), (2, 12, 17)]:  # Within epochs, and at ends where the rate falls.
        name = 'at' + '-'.join(map(str, stops))
        resumed = toy.stop_and_resume(_config(folder, name, small_body_file), *stops)
        assert resumed.epoch == 6
        toy.assert_same_run(whole, folder / name, LAST)
    ended = _config(folder, 'whole', small_body_file)
    ended.resume = True
    assert toy.train(ended).iter == 18  # A run that had stopped stays stopped.


def test_vposer_12_finetune(whole, folder, small_body_file):
    """finetune starts optimiser fresh: its first checkpoint holds the weights, and no step of Adam or schedule."""
    cfg = _config(folder, 'finetuned', small_body_file)
    cfg.load_from = str(whole / LAST)
    cfg.train_cfg.max_epochs, cfg.default_hooks.checkpoint.max_keep_ckpts = 1, -1
    runner = toy.train(cfg)
    start, end = load_checkpoint_file(folder / 'finetuned/iter_0.pth'), load_checkpoint_file(whole / LAST)
    assert all(torch.equal(value, end['state_dict'][key]) for key, value in start['state_dict'].items())
    assert start['optimizer']['state'] == {} and len(end['optimizer']['state']) == 20
    assert start['optimizer']['param_groups'][0]['lr'] == 1e-3 > end['optimizer']['param_groups'][0]['lr']
    assert start['param_schedulers'][0]['progress']['num_bad_epochs'] == 0
    assert runner.iter == 3


def test_vposer_12_fresh(whole, folder, small_body_file):
    """fresh refuses a non-empty work dir unless told."""
    cfg = _config(folder, 'whole-copy', small_body_file)
    cfg.train_cfg.max_epochs = 1
    toy.train(copy.deepcopy(cfg))
    with pytest.raises(ConfigError, match='whole-copy'):
        toy.train(copy.deepcopy(cfg))
    cfg.overwrite = True
    assert toy.train(cfg).iter == 3
    assert len(list(folder.glob('whole-copy.*.old'))) == 1
