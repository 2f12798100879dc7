import json
import re

import pytest
import torch

from motionlab.engine import MotionRunner
from motionlab.utils import CheckpointError
from tests.frame_models import run_config
from tests.frame_stores import write_frame_store
from tests.test_engine.toy import assert_same_run, load, stop_and_resume, train

ITERS = 6


@pytest.fixture(scope='module')
def store(tmp_path_factory):
    pytest.importorskip('diffusers')
    folder = tmp_path_factory.mktemp('frames') / 'store'
    write_frame_store(folder, (9, 5, 6), size=(16, 16), splits=('train', 'val'), noisy=True)
    return folder


def config(store, work_dir, **options):
    """Everything random is on: padding, dropped actions, context noise, two targets, averages, warm-up, clipping."""
    cfg = run_config(store, work_dir, train_cfg__max_iters=ITERS, train_cfg__val_interval=2,
                     train_dataloader__dataset__num_targets=2, model__action_dropout=0.3,
                     model__context_noise=0.7, **options)
    cfg.param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=3),
                           dict(type='CosineAnnealingLR', by_epoch=False, begin=3, end=ITERS, T_max=ITERS - 3)]
    cfg.log_level = 'ERROR'
    assert cfg.custom_hooks[0].warmup and cfg.optim_wrapper.clip_grad and cfg.train_dataloader.sampler.shuffle
    return cfg


@pytest.fixture(scope='module')
def whole(store, tmp_path_factory):
    path = tmp_path_factory.mktemp('whole')
    train(config(store, path))
    return path


@pytest.mark.parametrize('stops', [(1,), (2, 5), (3, 4)])
def test_pacman_14_resume_is_bit_equal(store, whole, tmp_path, stops):
    """Resume is bit-equal: weights, averages, optimizer, schedule, position in the data, logged numbers, codec."""
    stop_and_resume(config(store, tmp_path), *stops)
    assert_same_run(whole, tmp_path, f'iter_{ITERS}.pth')


def test_pacman_14_checkpoints_hold_what_they_need(whole):
    """Statistics of the codec travel with the weights; a codec's network does not."""
    saved = load(whole / f'iter_{ITERS}.pth')
    assert saved['state_dict']['codec.statistics.fitted']
    assert {name.split('.')[0] for name in saved['state_dict']} == {'backbone', 'codec'}
    assert {name for name in saved['state_dict'] if name.startswith('codec.')} == {
        f'codec.statistics.{name}' for name in ('mean', 'std', 'fitted')}


def test_pacman_14_finetune_reports_matches(store, whole, tmp_path):
    """Finetune reports matches: weights only, with what is missing and what is left over."""
    cfg = config(store, tmp_path, load_from=str(whole / f'iter_{ITERS}.pth'), model__backbone__depth=2)
    cfg.param_scheduler, cfg.log_level, cfg.train_cfg.max_iters = [], 'INFO', 1
    runner = train(cfg)
    log = next((tmp_path / 'logs').glob('*.log')).read_text()
    said = re.search(r'Loaded weights from .*iter_6.pth: (.*)', log)[1]
    saved = load(whole / f'iter_{ITERS}.pth')['state_dict']
    assert str(len(saved)) in said and 'transformer_blocks.1' in said
    assert runner.iter == 1
    assert torch.equal(runner.bare_model.codec.statistics.mean, saved['codec.statistics.mean'])


def test_pacman_14_zero_matches_fail(store, tmp_path):
    """Loading with zero matches fails, for training and for evaluation."""
    torch.save({'state_dict': {'net.weight': torch.zeros(2)}}, tmp_path / 'other.pth')
    for work_dir, method in (('a', 'train'), ('b', 'val')):
        cfg = config(store, tmp_path / work_dir, load_from=str(tmp_path / 'other.pth'))
        with pytest.raises(CheckpointError, match=r'other\.pth'):
            getattr(MotionRunner.from_cfg(cfg), method)()


def test_pacman_14_tested_weights_give_the_numbers_of_validation(store, whole, tmp_path):
    """Evaluation loads the averages strictly, statistics of the codec included, and repeats validation to the digit, in
    the same batches."""
    cfg = config(store, tmp_path, load_from=str(whole / f'iter_{ITERS}.pth'))
    for loader in cfg.test_dataloader:
        loader.batch_size = cfg.val_dataloader.batch_size  # Others are rounded elsewhere: a pixel in thousands moves.
    found = MotionRunner.from_cfg(cfg).test()
    rows = [json.loads(line) for line in (whole / 'logs/scalars.json').read_text().splitlines()]
    validated = [row for row in rows if 'psnr' in row][-1]
    for name in ('test_seen', 'test_unseen'):  # Both are the split val here.
        for metric in ('psnr', 'copy_last_psnr', 'flow_loss'):
            assert found[f'{name}/{metric}'] == validated[metric]
