"""The options of train.py: what they write into the config, and whole runs."""

import os
import shutil
import subprocess
import sys

import pytest
import torch

from motionlab.utils import ConfigError
from tests.conftest import REPO
from tests.test_tools import TOOLS, load_tool
from tests.test_tools.toy_config import write_toy_config

tool = load_tool('train.py')


@pytest.fixture
def toy(tmp_path):
    return write_toy_config(tmp_path, epochs=2, auto_scale_lr=dict(base_batch_size=8))


def build(path, *options):
    return tool.build_config(tool.parse_args([str(path), *options]))


def train(path, *options, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['train.py', str(path), *map(str, options)])
    return tool.main()


def test_defaults(toy):
    cfg = build(toy)
    assert cfg.work_dir == 'work_dirs/toy_run'
    assert (cfg.resume, cfg.load_from, cfg.launcher) == (False, None, 'none')
    assert cfg.optim_wrapper.type == 'OptimWrapper'


@pytest.mark.parametrize(('options', 'resume', 'load_from'), [
    (['--resume'], True, None),
    (['--resume', 'a/epoch_3.pth'], True, 'a/epoch_3.pth'),
    (['--finetune', 'a/best_model.pth'], False, 'a/best_model.pth'),
    (['--overwrite', '--finetune', 'b.pth'], False, 'b.pth'),
])
def test_starts(options, resume, load_from, toy):
    cfg = build(toy, *options)
    assert (cfg.resume, cfg.load_from) == (resume, load_from)
    assert cfg.get('overwrite', False) == ('--overwrite' in options)


@pytest.mark.parametrize('options', [['--finetune', 'x', '--resume'], ['--resume', '--overwrite'],
                                     ['--launcher', 'torchrun'], ['--no-such-flag']])
def test_contradictions(options, toy, capsys):
    with pytest.raises(SystemExit) as caught:
        build(toy, *options)
    assert caught.value.code == 2
    assert options[-1].lstrip('-') in capsys.readouterr().err


def test_switches(toy):
    cfg = build(toy, '--amp', '--no-validate', '--auto-scale-lr', '--work-dir', 'w', '--launcher', 'slurm')
    assert cfg.optim_wrapper.type == 'AutocastOptimWrapper'
    assert cfg.val_cfg is cfg.val_dataloader is cfg.val_evaluator is cfg.default_hooks.checkpoint.save_best is None
    assert cfg.auto_scale_lr.enable
    assert (cfg.work_dir, cfg.launcher) == ('w', 'slurm')


@pytest.mark.parametrize('flag', ['--local_rank', '--local-rank'])
def test_local_rank(flag, toy, monkeypatch):
    monkeypatch.delenv('LOCAL_RANK', raising=False)
    build(toy, flag, '1')
    assert os.environ['LOCAL_RANK'] == '1'


def test_amp_refuses_what_it_cannot_change(toy):
    assert build(toy, '--amp', '--cfg-options', 'optim_wrapper.type=AutocastOptimWrapper',
                 'optim_wrapper.dtype=float16').optim_wrapper.dtype == 'float16'
    with pytest.raises(ConfigError, match=r"--amp: optim_wrapper\.type is 'OptimWrapperDict'"):
        build(toy, '--amp', '--cfg-options', 'optim_wrapper.type=OptimWrapperDict')


def test_scaling_the_learning_rate_needs_a_base(tmp_path):
    with pytest.raises(ConfigError, match='base_batch_size'):
        build(write_toy_config(tmp_path), '--auto-scale-lr')


def test_pictures(tmp_path):
    with pytest.raises(ConfigError, match='no PoseVisualizationHook'):
        build(write_toy_config(tmp_path), '--show-dir', 'pictures')
    config = write_toy_config(tmp_path)
    config.write_text(config.read_text() + "\ncustom_hooks = [dict(type='PoseVisualizationHook', enable=False)]\n")
    options = ['--show-dir', 'pictures', '--interval', '7', '--wait-time', '0.5']
    assert build(config, *options).custom_hooks == [dict(
        type='PoseVisualizationHook', enable=True, show=False, interval=7, wait_time=0.5, out_dir='pictures')]
    assert build(config).custom_hooks[0].enable is False


def test_run_resume_finetune_overwrite(toy, tmp_path, monkeypatch):
    work_dir = tmp_path / 'work'
    assert train(toy, '--work-dir', work_dir, monkeypatch=monkeypatch) == 0
    first = torch.load(work_dir / 'epoch_2.pth')
    assert first['meta']['iter'] == 12
    with pytest.raises(ConfigError, match='holds the checkpoints of an earlier run'):
        train(toy, '--work-dir', work_dir, monkeypatch=monkeypatch)

    assert train(toy, '--work-dir', work_dir, '--resume', '--cfg-options', 'train_cfg.max_epochs=3',
                 monkeypatch=monkeypatch) == 0
    assert torch.load(work_dir / 'epoch_3.pth')['meta']['iter'] == 18

    with pytest.raises(ConfigError, match='which --overwrite moves aside'):
        train(toy, '--work-dir', work_dir, '--overwrite', '--finetune', work_dir / 'epoch_3.pth',
              monkeypatch=monkeypatch)
    weights = tmp_path / 'start.pth'
    shutil.copy(work_dir / 'epoch_3.pth', weights)
    assert train(toy, '--work-dir', work_dir, '--overwrite', '--finetune', weights, '--cfg-options',
                 'optim_wrapper.optimizer.lr=0', monkeypatch=monkeypatch) == 0
    moved = list(tmp_path.glob('work.*.old'))
    assert len(moved) == 1
    assert torch.load(moved[0] / 'epoch_3.pth')['meta']['iter'] == 18
    assert not (work_dir / 'epoch_3.pth').exists()
    tuned, source = torch.load(work_dir / 'epoch_2.pth'), torch.load(weights)
    assert torch.equal(tuned['state_dict']['outer.weight'], source['state_dict']['outer.weight'])


def test_mixed_precision_without_validation(toy, tmp_path, monkeypatch):
    assert train(toy, '--work-dir', tmp_path / 'w', '--amp', '--no-validate', monkeypatch=monkeypatch) == 0
    assert (tmp_path / 'w' / 'epoch_2.pth').exists()
    assert not (tmp_path / 'w' / 'best_model.pth').exists()


def test_our_errors_end_in_one_message(toy):
    answer = subprocess.run(
        [sys.executable, TOOLS / 'train.py', toy, '--cfg-options', 'trian_cfg.max_epochs=3'],
        env={**os.environ, 'PYTHONPATH': str(REPO)}, capture_output=True, text=True)
    assert answer.returncode == 2
    assert answer.stderr.strip().split('\n')[-1] == (
        f"error: --cfg-options trian_cfg.max_epochs: unknown key in {toy}: did you mean 'train_cfg.max_epochs'?")
    assert 'Traceback' not in answer.stderr
