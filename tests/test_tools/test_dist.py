"""The real scripts on two CPU processes give what one process gives on the same global batch."""

import json
import os
import pickle
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch

from motionlab.engine import MotionRunner
from tests.test_tools import TOOLS, load_tool
from tests.test_tools.lifting_config import write_lifting_config

HALF_BATCH = ('--cfg-options', 'train_dataloader.batch_size=8', 'val_dataloader.batch_size=8')


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return str(probe.getsockname()[1])


def environment(**more: str) -> dict[str, str]:
    """Nothing of an outer launcher, the interpreter of this test, a free port."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(('MASTER_', 'SLURM_'))}
    return {**kept, 'PYTHON': sys.executable, 'PORT': free_port(), 'OMP_NUM_THREADS': '1',
            'CUDA_VISIBLE_DEVICES': '-1', **more}


def bash(script: str, *args: object, cwd, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(['bash', TOOLS / script, *map(str, args)], cwd=cwd, env=environment(**env), text=True,
                          capture_output=True, timeout=120)


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    """The folder of the config, and in it the work dirs ``one`` and ``two`` of one and of two processes."""
    folder = tmp_path_factory.mktemp('dist')
    config = write_lifting_config(folder, epochs=8)
    # Not from the repository: the script must find its own place, the config that of the caller.
    script = ['bash', TOOLS / 'dist_train.sh', config.name, '2', '--work-dir', 'two', *HALF_BATCH]
    two = subprocess.Popen(script, cwd=folder, env=environment(), text=True, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT)
    train = load_tool('train.py')
    cfg = train.build_config(train.parse_args([str(config), '--work-dir', str(folder / 'one')]))
    MotionRunner.from_cfg(cfg).train()
    output, _ = two.communicate(timeout=120)
    assert two.returncode == 0, output[-3000:]
    return folder


def test_same_weights(runs):
    one, two = (torch.load(runs / name / 'epoch_8.pth') for name in ('one', 'two'))
    assert one['meta']['iter'] == two['meta']['iter'] == 40
    for name, value in one['state_dict'].items():
        found = two['state_dict'][name]
        torch.testing.assert_close(found, value, rtol=1e-5, atol=2e-6, msg=lambda m, n=name: f'{n}: {m}')


def test_same_logs_and_metrics(runs, capsys):
    compare = load_tool('analysis_tools/compare_runs.py')
    assert compare.main([str(runs / 'one'), str(runs / 'two'), '--tol', '1e-5']) == 0, capsys.readouterr().out


def test_two_processes_test_each_sample_once(runs, monkeypatch, capsys):
    options = ['--work-dir', 'tested', '--cfg-options', 'test_dataloader.batch_size=8']
    answer = bash('dist_test.sh', 'lifter.py', 'two', '2', '--out', 'two.json', '--dump', 'two.pkl', *options, cwd=runs)
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert answer.stdout.count('test set') == 1  # One table, not one per process.
    monkeypatch.chdir(runs)
    monkeypatch.setattr(sys, 'argv', ['test.py', 'lifter.py', 'one', '--out', 'one.json', '--dump', 'one.pkl',
                                      *options])
    load_tool('test.py').main()

    metrics = [json.loads((runs / f'{name}.json').read_text()) for name in ('one', 'two')]
    assert metrics[1] == pytest.approx(metrics[0], rel=1e-5)
    samples = [pickle.loads((runs / f'{name}.pkl').read_bytes()) for name in ('one', 'two')]
    assert len(samples[1]) == 21
    for one, two in zip(*samples, strict=True):
        assert one['sample_index'] == two['sample_index']
        np.testing.assert_allclose(one['pred_m'], two['pred_m'], atol=1e-5)


@pytest.mark.parametrize(('script', 'args'), [
    ('dist_train.sh', ['config.py']), ('dist_test.sh', ['config.py', 'x.pth']),
    ('slurm_train.sh', ['part', 'job', 'config.py']), ('slurm_test.sh', ['part', 'job', 'config.py'])])
def test_usage(script, args, tmp_path):
    answer = bash(script, *args, cwd=tmp_path)
    assert answer.returncode == 2
    assert f'tools/{script}' in answer.stderr
