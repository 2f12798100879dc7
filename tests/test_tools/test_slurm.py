"""The SLURM scripts under a real SLURM."""

import os
import socket
import subprocess
import sys

import pytest
import torch

from tests.test_tools import TOOLS
from tests.test_tools.slurm_cluster import PARTITION, missing_programs, slurm_cluster
from tests.test_tools.test_dist import environment, free_port
from tests.test_tools.toy_config import write_toy_config

pytestmark = pytest.mark.skipif(bool(missing_programs()),
                                reason=f'not installed: {", ".join(missing_programs())} (slurm-wlm, munge)')


@pytest.fixture
def slurm(tmp_path_factory):
    with slurm_cluster(tmp_path_factory.mktemp('slurm')) as env:
        yield env


def run(script: str, *args: object, cwd, slurm: dict[str, str], **env: str) -> subprocess.CompletedProcess:
    try:
        socket.gethostbyname(socket.gethostname())
    except OSError:
        env['MASTER_ADDR'] = '127.0.0.1'  # This machine does not know its own name.
    return subprocess.run(
        ['bash', TOOLS / script, *map(str, args)], cwd=cwd, text=True, capture_output=True, timeout=120,
        env={**environment(MASTER_PORT=free_port()), 'SLURM_CONF': slurm['SLURM_CONF'], **env})


def test_train_and_test_on_two_tasks(slurm, tmp_path):
    config = write_toy_config(tmp_path, epochs=2)
    answer = run('slurm_train.sh', PARTITION, 'toy', config.name, 'work', '--cfg-options', 'log_level=INFO',
                 'train_dataloader.batch_size=2', cwd=tmp_path, slurm=slurm, GPUS='2', GPUS_PER_NODE='2')
    assert answer.returncode == 0, (answer.stdout + answer.stderr)[-3000:]
    saved = torch.load(tmp_path / 'work' / 'epoch_2.pth')
    assert saved['meta']['iter'] == 12  # 22 samples in global batches of 2 x 2: one task alone would need 22.
    log = next((tmp_path / 'work' / 'logs').glob('*.log')).read_text()
    assert 'launcher: slurm' in log
    assert 'processes: 2' in log

    answer = run('slurm_test.sh', PARTITION, 'toy', config.name, 'work', '--work-dir', 'tested', '--out', 'm.json',
                 cwd=tmp_path, slurm=slurm, GPUS='2', PY_ARGS='--cfg-options test_dataloader.batch_size=2')
    assert answer.returncode == 0, (answer.stdout + answer.stderr)[-3000:]
    assert '"samples": 9' in (tmp_path / 'm.json').read_text()

    answer = run('slurm_train.sh', 'nowhere', 'toy', config.name, 'other', cwd=tmp_path, slurm=slurm)
    assert answer.returncode == 2
    assert f"partition 'nowhere' has no nodes; sinfo lists: {PARTITION}" in answer.stderr


@pytest.mark.parametrize(('gres', 'expected'), [('gpu:a100:8(S:0-1)', '--gres=gpu:4'), ('(null)', None)])
def test_gpus_are_asked_for_where_there_are_some(gres, expected, tmp_path):
    """With stand-ins for the clients, since no GPU is here."""
    for name, text in {'sinfo': f'echo "{gres}"', 'srun': 'printf "%s\\n" "$@"'}.items():
        (tmp_path / name).write_text(f'#!/bin/sh\n{text}\n')
        (tmp_path / name).chmod(0o755)
    answer = run('slurm_train.sh', 'part', 'job', 'cfg.py', 'my work', '--amp', cwd=tmp_path, slurm={'SLURM_CONF': ''},
                 GPUS='4', SRUN_ARGS='--exclusive --mem=0', PY_ARGS='--resume --no-validate',
                 PATH=f'{tmp_path}:{os.environ["PATH"]}')
    assert answer.returncode == 0, answer.stderr
    words = answer.stdout.split('\n')[:-1]
    assert (expected in words) if expected else not any('gres' in word for word in words)
    assert words[-11:] == ['--exclusive', '--mem=0', sys.executable, '-u', str(TOOLS / 'train.py'), 'cfg.py',
                           '--work-dir=my work', '--launcher=slurm', '--resume', '--no-validate', '--amp']
    assert {'--ntasks=4', '--ntasks-per-node=4', '--cpus-per-task=5', '--partition=part', '--job-name=job',
            '--kill-on-bad-exit=1'} <= set(words)
