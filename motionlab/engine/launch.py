"""Start the processes of a run: one process, torchrun, SLURM or MPI, on CUDA (NCCL) and on CPU-only builds (gloo).

MMEngine's ``init_dist`` calls ``torch.cuda.set_device`` whatever the build; here the device decides the backend. All
helpers of ``mmengine.dist`` (``get_rank``, ``broadcast``, ``collect_results``, ...) work on the default process group
that is made here.
"""

import datetime
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.logging import print_log
from torch import distributed as torch_dist

from motionlab.utils import ConfigError

LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')
DEFAULT_PORT = 29500
_DIST_CFG_KEYS = ('backend', 'timeout', 'port')
_HOW_TO_START = {
    'pytorch': 'start the script with torchrun (or bash tools/dist_train.sh CONFIG GPUS)',
    'slurm': 'start the script with srun (or bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR)',
    'mpi': 'start the script with the mpirun of Open MPI and export MASTER_ADDR',
}


@dataclass(frozen=True)
class ProcessPlace:
    """Where this process stands: its number among all, how many there are, and its number on its own machine."""

    rank: int
    world_size: int
    local_rank: int


def setup_distributed(launcher: str, dist_cfg: Mapping[str, Any] | None = None) -> torch.device:
    """Create the default process group of ``torch.distributed`` and pick this process's device.

    Sets ``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK``, ``MASTER_ADDR`` and ``MASTER_PORT`` in the environment, whatever the
    launcher called them. Does nothing but pick the device when the group exists already.

    Args:
        launcher: ``'none'`` (one process), ``'pytorch'`` (torchrun), ``'slurm'`` (srun) or ``'mpi'`` (Open MPI).
        dist_cfg: ``env_cfg.dist_cfg`` of the config. ``backend`` (default NCCL on CUDA and gloo elsewhere; NCCL
            becomes gloo where there is no CUDA), ``timeout`` of collectives in seconds, ``port`` of the rendezvous
            (else ``MASTER_PORT``, else 29500).

    Returns:
        The device of this process: ``cuda:<index>`` or ``cpu``.

    Raises:
        ConfigError: unknown launcher or ``dist_cfg`` key; environment variables of the launcher missing or not
            numbers; more processes on a machine than it has GPUs.
    """
    if launcher not in LAUNCHERS:
        raise ConfigError(f"launcher '{launcher}' is unknown: expected one of {', '.join(LAUNCHERS)}.")
    dist_cfg = dict(dist_cfg or {})
    unknown = sorted(set(dist_cfg) - set(_DIST_CFG_KEYS))
    if unknown:
        raise ConfigError(f'env_cfg.dist_cfg: unknown key {unknown[0]!r}: expected {", ".join(_DIST_CFG_KEYS)}.')
    if launcher == 'none':
        return torch.device('cuda', torch.cuda.current_device()) if torch.cuda.is_available() else torch.device('cpu')

    place = read_place(launcher)
    _export(place, launcher, dist_cfg.get('port'))
    device = _pick_device(place.local_rank, launcher)
    if not torch_dist.is_initialized():
        options: dict[str, Any] = {'backend': _pick_backend(dist_cfg.get('backend'), device)}
        if dist_cfg.get('timeout') is not None:
            options['timeout'] = datetime.timedelta(seconds=float(dist_cfg['timeout']))
        torch_dist.init_process_group(rank=place.rank, world_size=place.world_size, **options)
    return device


def read_place(launcher: str) -> ProcessPlace:
    """Read rank, world size and local rank from the variables that ``launcher`` sets.

    Raises:
        ConfigError: a variable is missing or not a number, or the process was not started by ``launcher``.
    """
    names = {
        'pytorch': ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
        'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
        'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'),
    }[launcher]
    missing = [name for name in names if name not in os.environ]
    if missing:
        raise ConfigError(f"launcher '{launcher}': {', '.join(missing)} not set in the environment: "
                          f'{_HOW_TO_START[launcher]}.')
    if launcher == 'slurm' and 'SLURM_JOB_ID' in os.environ and 'SLURM_STEP_ID' not in os.environ:
        # A batch script sees the variables of the whole job, yet is one process: the rendezvous would wait for ever.
        raise ConfigError(f"launcher 'slurm': this process is the batch script, not a task: {_HOW_TO_START['slurm']}.")
    try:
        rank, world_size, local_rank = (int(os.environ[name]) for name in names)
    except ValueError as error:
        raise ConfigError(f"launcher '{launcher}': {', '.join(names)} must be numbers: {error}.") from error
    if not 0 <= rank < world_size:
        raise ConfigError(f"launcher '{launcher}': {names[0]}={rank} is outside 0..{world_size - 1} ({names[1]}).")
    return ProcessPlace(rank, world_size, local_rank)


def first_host(node_list: str) -> str:
    """The first machine of a SLURM node list such as ``node[03-05,9]``; ``scontrol`` expands what needs expanding.

    Raises:
        ConfigError: ``scontrol`` is missing or fails.
    """
    if not any(mark in node_list for mark in '[,'):
        return node_list
    try:
        answer = subprocess.run(['scontrol', 'show', 'hostnames', node_list], capture_output=True, text=True,
                                check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        detail = getattr(error, 'stderr', '') or str(error)
        raise ConfigError(f"launcher 'slurm': cannot expand the node list '{node_list}' with scontrol "
                          f'({detail.strip()}): export MASTER_ADDR=<address of the first node>.') from error
    return answer.stdout.split()[0]


def _export(place: ProcessPlace, launcher: str, port: int | None) -> None:
    os.environ.update(RANK=str(place.rank), WORLD_SIZE=str(place.world_size), LOCAL_RANK=str(place.local_rank))
    # torchrun has opened its rendezvous on MASTER_PORT already: the config cannot move it.
    if port is not None and launcher != 'pytorch':
        os.environ['MASTER_PORT'] = str(port)
    if 'MASTER_ADDR' not in os.environ:
        if launcher != 'slurm' or 'SLURM_NODELIST' not in os.environ:
            variable = 'MASTER_ADDR (or SLURM_NODELIST)' if launcher == 'slurm' else 'MASTER_ADDR'
            raise ConfigError(f"launcher '{launcher}': {variable} not set in the environment: "
                              f'{_HOW_TO_START[launcher]}.')
        os.environ['MASTER_ADDR'] = first_host(os.environ['SLURM_NODELIST'])
    os.environ.setdefault('MASTER_PORT', str(DEFAULT_PORT))


def _pick_device(local_rank: int, launcher: str) -> torch.device:
    if not torch.cuda.is_available():
        return torch.device('cpu')
    count = torch.cuda.device_count()
    # SLURM may bind each task to a GPU of its own, which every task then calls number 0.
    index = 0 if launcher == 'slurm' and count == 1 else local_rank
    if index >= count:
        raise ConfigError(f'local rank {local_rank} has no GPU: this machine shows {count}. Start at most {count} '
                          'processes here, or hide the GPUs with CUDA_VISIBLE_DEVICES=-1 to run on the CPU.')
    torch.cuda.set_device(index)
    return torch.device('cuda', index)


def _pick_backend(wanted: str | None, device: torch.device) -> str:
    if device.type == 'cuda':
        return wanted or 'nccl'
    if wanted == 'nccl':
        print_log('No CUDA device: using the gloo backend in place of nccl.', logger='current')
        return 'gloo'
    return wanted or 'gloo'
