"""Carrying out runs: subprocesses that train and test, side by side, with a live display and an orderly end."""

import json
import os
import queue
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from motionlab.apis.sweep_places import Place
from motionlab.engine.launch import DEFAULT_PORT

LOG = 'sweep.log'
INTERRUPTED = 128 + signal.SIGINT
_POLL_S = 0.5
_TAIL_BYTES = 65536  # Holds the last line of scalars.json.


def shown_command(command: list[str]) -> str:
    """A command as one would type it here."""
    program = 'bash' if command[0] == 'bash' else 'python'
    return shlex.join([program, os.path.relpath(command[1]), *command[2:]])


def slot_environment(slot: int, jobs: int, slurm: bool) -> dict[str, str]:
    """Environment of the subprocesses of one of ``jobs`` slots: runs side by side share cores, GPUs and ports."""
    env = dict(os.environ)
    if slurm:
        # One task a run unless the user says otherwise; runs on one machine need rendezvous of their own.
        return {'GPUS': '1', **env, 'PYTHON': sys.executable, 'MASTER_PORT': str(DEFAULT_PORT + slot)}
    if jobs > 1:
        env.setdefault('OMP_NUM_THREADS', str(max(1, (os.cpu_count() or 1) // jobs)))
    visible = env.get('CUDA_VISIBLE_DEVICES')
    gpus = visible.split(',') if visible is not None else [str(i) for i in range(torch.cuda.device_count())]
    if len(gpus) > 1:
        env['CUDA_VISIBLE_DEVICES'] = gpus[slot % len(gpus)]
    return env


class Worker:
    """Carries out runs in threads, at most ``jobs`` at a time, and stops their processes on demand.

    Args:
        jobs: Runs at a time.
        train_command: What trains a run, from its newest checkpoint if it has one.
        test_command: What tests its weights and writes the metrics.
        slurm: Whether these commands go to a cluster.
    """

    def __init__(self, jobs: int, train_command: Callable[[Place], list[str]],
                 test_command: Callable[[Place], list[str]], slurm: bool = False):
        self.jobs, self.slurm = jobs, slurm
        self.train_command, self.test_command = train_command, test_command
        self.running: dict[str, tuple[Place, subprocess.Popen]] = {}
        self._lock, self._stopping = threading.Lock(), False
        self._slots: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(jobs):
            self._slots.put(slot)

    def __call__(self, place: Place) -> str:
        """Train (or go on) and test; returns what failed, or '' when the run is done."""
        slot = self._slots.get()
        try:
            env = slot_environment(slot, self.jobs, self.slurm)
            if not place.trained:
                place.record()
                failure = self._start('training', place, self.train_command(place), env)
                if failure:
                    return failure
                place.trained = True
            place.tested = False
            place.record()
            failure = self._start('test', place, self.test_command(place), env)
            if not failure:
                place.tested = True
                place.record()
            return failure
        finally:
            self._slots.put(slot)

    def stop(self) -> None:
        """Start nothing more; let training write its checkpoint and end."""
        with self._lock:
            self._stopping = True
            for _, process in self.running.values():
                process.terminate()

    def _start(self, what: str, place: Place, command: list[str], env: dict[str, str]) -> str:
        with (place.folder / LOG).open('a') as log:
            log.write(f'$ {shown_command(command)}\n')
            log.flush()
            with self._lock:
                if self._stopping:
                    return f'{what} not started'
                # A session of its own: Ctrl-C reaches this process alone, which then stops the others, once.
                process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log,
                                           stderr=subprocess.STDOUT, start_new_session=True)
                self.running[place.run.name] = place, process
            code = process.wait()
        with self._lock:
            del self.running[place.run.name]
        return f'{what} ended with exit code {code}, see {place.folder / LOG}' if code else ''


def work(places: list[Place], worker: Worker) -> tuple[dict[str, str], bool]:
    """Carry out all runs with a live display; returns the failures by run, and whether a signal ended it."""
    failures: dict[str, str] = {}
    interrupted, stopped = threading.Event(), False
    previous = {number: signal.signal(number, lambda *_: interrupted.set())
                for number in (signal.SIGINT, signal.SIGTERM)}
    columns = (TextColumn('{task.description}'), BarColumn(), TextColumn('{task.fields[note]}'), TimeElapsedColumn())
    with ThreadPoolExecutor(worker.jobs) as pool, Progress(*columns, console=Console(stderr=True)) as progress:
        pending = {pool.submit(worker, place): place for place in places}
        tasks: dict[str, TaskID] = {}
        overall = progress.add_task('all runs', total=len(places), note='')
        while pending:
            done, _ = wait(pending, timeout=_POLL_S, return_when=FIRST_COMPLETED)
            if interrupted.is_set() and not stopped:
                stopped = True
                progress.console.print('Stopping: running trainings write a checkpoint.')
                worker.stop()
            for future in done:
                place = pending.pop(future)
                error = future.exception()
                failure = f'{type(error).__name__}: {error}' if error else future.result()
                if failure:
                    failures[place.run.name] = failure
                verdict = 'FAILED' if failure else 'done'
                progress.console.print(f'{verdict}  {place.run.name}  {failure}', soft_wrap=True)
            _show(progress, tasks, worker)
            note = f'{len(places) - len(pending)}/{len(places)}, {len(failures)} failed'
            progress.update(overall, completed=len(places) - len(pending), note=note)
    for number, handler in previous.items():
        signal.signal(number, handler)
    return failures, stopped


def last_iteration(folder: Path) -> int | None:
    """Where the run's log stands; None before its first line."""
    path = folder / 'logs' / 'scalars.json'
    if not path.is_file():
        return None
    with path.open('rb') as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        lines = file.read().split(b'\n')[:-1]  # What follows the last line break may be half a line.
    return json.loads(lines[-1])['step'] if lines else None


def _show(progress: Progress, tasks: dict[str, TaskID], worker: Worker) -> None:
    running = {name: place for name, (place, _) in list(worker.running.items())}
    for name in tasks.keys() - running.keys():
        progress.remove_task(tasks.pop(name))
    for name, place in running.items():
        if name not in tasks:
            tasks[name] = progress.add_task(name, total=None, note='')
        at = last_iteration(place.folder)
        progress.update(tasks[name], note='testing' if place.trained else '' if at is None else f'iteration {at}')
