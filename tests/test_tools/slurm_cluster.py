"""A real SLURM cluster of one node on the loopback, for one test: no systemd, no cgroups, nothing outside a folder."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

PARTITION = 'loopback'
CPUS = 16  # Declared, not real: the scripts ask for 5 CPUs a task by default.
_START_SECONDS = 30
_STOP_SECONDS = 10

_CONF = """
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={ctld_port}
SlurmdPort={slurmd_port}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
SlurmdParameters=config_overrides
PropagateResourceLimits=NONE
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName={partition} Nodes={host} Default=YES MaxTime=10 State=UP
"""


def missing_programs() -> list[str]:
    """Programs of Debian's slurm-wlm and munge that are not installed."""
    return [name for name in ('munged', 'slurmctld', 'slurmd', 'srun', 'sinfo') if _find(name) is None]


@contextmanager
def slurm_cluster(folder: Path):
    """Start munged, slurmctld and slurmd by hand and wait for the node; yields the environment that clients need.

    The daemons are stopped by their process ids whatever happens.
    """
    for name in ('state', 'spool', 'logs'):
        (folder / name).mkdir(parents=True)
    host = socket.gethostname().split('.')[0]
    ctld_port, slurmd_port = _free_ports(2)
    conf = folder / 'slurm.conf'
    conf.write_text(_CONF.format(host=host, user=getpass.getuser(), ctld_port=ctld_port, slurmd_port=slurmd_port,
                                 folder=folder, cpus=CPUS, partition=PARTITION))
    key = folder / 'munge.key'
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    env = {**os.environ, 'SLURM_CONF': str(conf)}

    with ExitStack() as stack:
        # --force: the folders of a test are closed to other users, which munged advises against.
        _daemon(stack, folder, env, 'munged', '--foreground', '--force', f'--key-file={key}',
                f'--socket={folder}/munge.socket', f'--pid-file={folder}/munged.pid',
                f'--log-file={folder}/logs/munged.log', f'--seed-file={folder}/munged.seed')
        _wait(lambda: (folder / 'munge.socket').exists(), folder, 'the socket of munged')
        _daemon(stack, folder, env, 'slurmctld', '-D', '-f', str(conf))
        _daemon(stack, folder, env, 'slurmd', '-D', '-f', str(conf))
        _wait(lambda: _node_state(env) == 'idle', folder, 'an idle node')
        yield env


def _daemon(stack: ExitStack, folder: Path, env: dict[str, str], name: str, *args: str) -> None:
    output = stack.enter_context((folder / 'logs' / f'{name}.out').open('wb'))
    # A session of its own: an interrupted test run still stops it here, in order.
    process = subprocess.Popen([_find(name), *args], env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                               start_new_session=True)
    stack.callback(_stop, process)


def _stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _node_state(env: dict[str, str]) -> str:
    answer = subprocess.run(['sinfo', '--noheader', '--format=%T'], env=env, capture_output=True, text=True)
    return answer.stdout.strip()


def _wait(ready, folder: Path, what: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not ready():
        if time.monotonic() > deadline:
            logs = '\n'.join(f'--- {path.name}\n{path.read_text(errors="replace")[-2000:]}'
                             for path in sorted((folder / 'logs').iterdir()))
            raise RuntimeError(f'waited {_START_SECONDS} s for {what}\n{logs}')
        time.sleep(0.1)


def _find(name: str) -> str | None:
    return shutil.which(name, path=f'{os.environ["PATH"]}:/usr/sbin:/sbin')


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(('127.0.0.1', 0))
        return [probe.getsockname()[1] for probe in probes]
