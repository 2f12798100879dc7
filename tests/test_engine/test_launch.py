"""The launchers' variables, and a real gloo group through each launcher."""

import socket
import subprocess
import sys

import pytest
import torch

from motionlab.engine import launch
from motionlab.engine.launch import first_host, read_place, setup_distributed
from motionlab.utils import ConfigError

VARIABLES = {
    'pytorch': ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'),
}
SCRIPT = """
import torch
from mmengine import dist
from motionlab.engine.launch import setup_distributed
device = setup_distributed('mpi', dict(backend='nccl', timeout=60))
total = torch.tensor([float(dist.get_rank() + 1)])
dist.all_reduce(total)
print(device, dist.get_rank(), dist.get_world_size(), dist.get_backend(), total.item())
"""


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch):
    for names in VARIABLES.values():
        for name in names:
            monkeypatch.delenv(name, raising=False)
    for name in ('MASTER_ADDR', 'MASTER_PORT', 'SLURM_NODELIST', 'SLURM_JOB_ID', 'SLURM_STEP_ID'):
        monkeypatch.delenv(name, raising=False)


def set_place(monkeypatch, launcher, rank='0', world='2', local='0'):
    for name, value in zip(VARIABLES[launcher], (rank, world, local)):
        monkeypatch.setenv(name, value)


def test_two_gloo_ranks_for_a_config_that_asks_for_nccl(monkeypatch):
    """Of the launchers, torchrun and SLURM are run for real in tests/test_tools."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        monkeypatch.setenv('MASTER_PORT', str(probe.getsockname()[1]))
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '-1')
    monkeypatch.setenv('MASTER_ADDR', '127.0.0.1')
    ranks = []
    for rank in range(2):
        set_place(monkeypatch, 'mpi', str(rank), '2', str(rank))
        ranks.append(subprocess.Popen([sys.executable, '-c', SCRIPT], stdout=subprocess.PIPE, text=True))
    answers = [process.communicate(timeout=120)[0].split() for process in ranks]
    assert [answer[-5:] for answer in answers] == [['cpu', str(rank), '2', 'gloo', '3.0'] for rank in range(2)]


def test_none_needs_no_variables(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert setup_distributed('none') == torch.device('cpu')
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize('launcher', list(VARIABLES))
def test_missing_variables_are_named(launcher, monkeypatch):
    monkeypatch.setenv(VARIABLES[launcher][1], '2')
    with pytest.raises(ConfigError) as caught:
        setup_distributed(launcher)
    message = str(caught.value)
    assert VARIABLES[launcher][0] in message
    assert VARIABLES[launcher][1] not in message
    assert {'pytorch': 'torchrun', 'slurm': 'srun', 'mpi': 'mpirun'}[launcher] in message


def test_batch_script_is_not_a_task(monkeypatch):
    set_place(monkeypatch, 'slurm')
    monkeypatch.setenv('SLURM_JOB_ID', '7')
    with pytest.raises(ConfigError, match='srun'):
        read_place('slurm')
    monkeypatch.setenv('SLURM_STEP_ID', '0')
    assert read_place('slurm') == launch.ProcessPlace(0, 2, 0)


@pytest.mark.parametrize(('rank', 'match'), [('x', 'must be numbers'), ('2', r'outside 0\.\.1')])
def test_bad_rank(rank, match, monkeypatch):
    set_place(monkeypatch, 'pytorch', rank=rank)
    with pytest.raises(ConfigError, match=match):
        read_place('pytorch')


def test_missing_master_address(monkeypatch):
    set_place(monkeypatch, 'mpi')
    with pytest.raises(ConfigError, match='MASTER_ADDR'):
        setup_distributed('mpi')


def test_unknown_launcher_and_dist_cfg_key():
    with pytest.raises(ConfigError, match='none, pytorch, slurm, mpi'):
        setup_distributed('torchrun')
    with pytest.raises(ConfigError, match='backnd'):
        setup_distributed('none', {'backnd': 'gloo'})


def test_first_host(monkeypatch, tmp_path):
    assert first_host('node7') == 'node7'
    scontrol = tmp_path / 'scontrol'
    scontrol.write_text('#!/bin/sh\n[ "$3" = "node[03-05,9]" ] && printf "node03\\nnode04\\n"\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv('PATH', f'{tmp_path}:/usr/bin:/bin')
    assert first_host('node[03-05,9]') == 'node03'
    scontrol.write_text('#!/bin/sh\necho "slurm_load_node: down" >&2; exit 1\n')
    with pytest.raises(ConfigError, match=r'down.*MASTER_ADDR'):
        first_host('node[1-2]')


def test_more_processes_than_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)
    chosen = []
    monkeypatch.setattr(torch.cuda, 'set_device', chosen.append)
    with pytest.raises(ConfigError, match='local rank 1 has no GPU: this machine shows 1'):
        launch._pick_device(1, 'pytorch')
    assert launch._pick_device(1, 'slurm') == torch.device('cuda', 0)
    assert chosen == [0]


def test_port_of_the_config_moves_slurm_but_not_torchrun(monkeypatch):
    place = launch.ProcessPlace(0, 1, 0)
    monkeypatch.setenv('MASTER_ADDR', 'localhost')
    monkeypatch.setenv('MASTER_PORT', '1234')
    launch._export(place, 'pytorch', 99)
    assert launch.os.environ['MASTER_PORT'] == '1234'
    launch._export(place, 'slurm', 99)
    assert launch.os.environ['MASTER_PORT'] == '99'
