"""Train and test a lifter for every input, window length, training set and seed, and tabulate the results.

python tools/sweep.py CONFIG ... --variants xy xyc xycd uadd6 --frames 1 27 --seeds 0 1 2 [--jobs 2] [--dry-run]

Runs that are complete are skipped, interrupted ones go on. Ctrl-C lets the running ones write a checkpoint and ends.
"""

import argparse
import json
import os
import queue
import shlex
import signal
import subprocess
import sys
import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from motionlab.apis.lifting_sweep import VARIANTS, Run, expand_runs
from motionlab.apis.sweep_places import METRICS, Place, find_place
from motionlab.apis.sweep_results import SHOWN, summarize, table_of, to_markdown
from motionlab.engine.checkpoint import write_atomically
from motionlab.engine.cli import print_table, run_tool
from motionlab.engine.launch import DEFAULT_PORT

TOOLS = Path(__file__).resolve().parent
LOG = 'sweep.log'
INTERRUPTED = 128 + signal.SIGINT
_POLL_S = 0.5
_TAIL_BYTES = 65536  # Holds the last line of scalars.json.


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('configs', nargs='+', metavar='CONFIG', help='base configs, with a TCN or a PoseFormer')
    parser.add_argument('--variants', nargs='+', default=['xy', 'xyc', 'xycd', 'uadd6'], metavar='V',
                        help=f'inputs: {", ".join(VARIANTS)} (default: xy xyc xycd uadd6)')
    parser.add_argument('--frames', nargs='+', type=int, metavar='F', help="window lengths; default the config's own")
    parser.add_argument('--train-sets', nargs='+', metavar='SET',
                        help="training sets, folders beside that of the config's own; default that one")
    parser.add_argument('--seeds', nargs='+', type=int, default=[0], metavar='S', help='seeds (default: 0)')
    parser.add_argument('--work-dir', default='work_dirs/sweep', help='one folder per run goes here, and the results')
    parser.add_argument('--dry-run', action='store_true', help='list every run with its commands; start nothing')
    parser.add_argument('--test', action='store_true',
                        help='train nothing: test, also again, the runs whose training is complete')
    parser.add_argument('--jobs', type=int, default=1, metavar='N', help='runs at a time (default: 1)')
    parser.add_argument('--slurm', metavar='PARTITION', help='run each through slurm_train.sh and slurm_test.sh')
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='K=V', help='overrides for all runs')
    args = parser.parse_args(argv)
    if args.jobs < 1:
        parser.error('argument --jobs: expected at least 1')
    return args


def train_command(place: Place, slurm: str | None) -> list[str]:
    """What trains the run, from its newest checkpoint if it has one."""
    run, folder = place.run, str(place.folder)
    ending = ['--resume', '--cfg-options', *run.options]
    if slurm:
        return ['bash', str(TOOLS / 'slurm_train.sh'), slurm, _job_name(run), run.config, folder, *ending]
    return [sys.executable, str(TOOLS / 'train.py'), run.config, '--work-dir', folder, *ending]


def test_command(place: Place, slurm: str | None) -> list[str]:
    """What tests the run's best weights on every test set."""
    run, folder = place.run, str(place.folder)
    ending = ['--work-dir', str(place.folder / 'test'), '--out', str(place.folder / METRICS), '--cfg-options',
              *run.options]
    if slurm:
        return ['bash', str(TOOLS / 'slurm_test.sh'), slurm, _job_name(run), run.config, folder, *ending]
    return [sys.executable, str(TOOLS / 'test.py'), run.config, folder, *ending]


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
    """Carries out runs in threads, at most ``jobs`` at a time, and stops their processes on demand."""

    def __init__(self, jobs: int, slurm: str | None):
        self.jobs, self.slurm = jobs, slurm
        self.running: dict[str, tuple[Place, subprocess.Popen]] = {}
        self._lock, self._stopping = threading.Lock(), False
        self._slots: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(jobs):
            self._slots.put(slot)

    def __call__(self, place: Place) -> str:
        """Train (or go on) and test; returns what failed, or '' when the run is done."""
        slot = self._slots.get()
        try:
            env = slot_environment(slot, self.jobs, self.slurm is not None)
            if not place.trained:
                place.record()
                failure = self._start('training', place, train_command(place, self.slurm), env)
                if failure:
                    return failure
                place.trained = True
            place.tested = False
            place.record()
            failure = self._start('test', place, test_command(place, self.slurm), env)
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


def report(places: list[Place], work_dir: Path) -> None:
    """Print the tables over seeds; write ``results.json`` and ``results.md``."""
    results = [(place.run, json.loads((place.folder / METRICS).read_text())) for place in places if place.tested]
    rows = summarize(results)
    runs = [dict(name=run.name, config=run.config, train_set=run.train_set, frames=run.frames, variant=run.variant,
                 seed=run.seed, options=run.options, metrics=metrics) for run, metrics in results]
    work_dir.mkdir(parents=True, exist_ok=True)
    text = json.dumps(dict(complete=len(results), of=len(places), table=rows, runs=runs), indent=1)
    write_atomically(work_dir / 'results.json', lambda file: file.write(text.encode()))
    write_atomically(work_dir / 'results.md', lambda file: file.write(to_markdown(rows).encode()))
    for metric in SHOWN:
        chosen = [row for row in rows if row['metric'] == metric]
        if chosen:
            header, lines = table_of(chosen)
            table = Table(*header, title=f'{metric}, mm: mean ± standard deviation over seeds (change against xy)')
            for line in lines:
                table.add_row(*line)
            print_table(table)
    print(f'{len(results)} of {len(places)} runs are complete: {work_dir / "results.json"}, {work_dir / "results.md"}')


def main() -> int:
    args = parse_args()
    runs = expand_runs(args.configs, args.variants, args.frames, args.train_sets, args.seeds, args.cfg_options)
    places = [find_place(run, args.work_dir) for run in runs]
    if args.test:
        places = [place for place in places if place.trained]
        print(f'{len(runs) - len(places)} of {len(runs)} runs are not trained yet and left out.')
    todo = [place for place in places if args.test or not place.tested]
    if args.dry_run:
        for number, place in enumerate(places, start=1):
            print(f'[{number}/{len(places)}] {place.run.name}: {place.state}')
            for command in [train_command] * (not place.trained) + [test_command] * (place in todo):
                print(f'    {shown_command(command(place, args.slurm))}')
        return 0
    failures, interrupted = work(todo, Worker(args.jobs, args.slurm)) if todo else ({}, False)
    report(places, Path(args.work_dir))
    if failures:
        print(f'{len(failures)} of {len(todo)} runs failed:', file=sys.stderr)
        for name, failure in failures.items():
            print(f'    {name}: {failure}', file=sys.stderr)
    return INTERRUPTED if interrupted else 1 if failures else 0


def _job_name(run: Run) -> str:
    return run.name.replace('/', '-')


def _show(progress: Progress, tasks: dict[str, TaskID], worker: Worker) -> None:
    running = {name: place for name, (place, _) in list(worker.running.items())}
    for name in tasks.keys() - running.keys():
        progress.remove_task(tasks.pop(name))
    for name, place in running.items():
        if name not in tasks:
            tasks[name] = progress.add_task(name, total=None, note='')
        at = last_iteration(place.folder)
        progress.update(tasks[name], note='testing' if place.trained else '' if at is None else f'iteration {at}')


if __name__ == '__main__':
    run_tool(main)
