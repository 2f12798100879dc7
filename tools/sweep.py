"""Train and test a lifter for every input, window length, training set and seed, and tabulate the results.

python tools/sweep.py CONFIG ... --variants xy xyc xycd uadd6 --frames 1 27 --seeds 0 1 2 [--jobs 2] [--dry-run]

Runs that are complete are skipped, interrupted ones go on. Ctrl-C lets the running ones write a checkpoint and ends.
"""

import argparse
import json
import sys
from functools import partial
from pathlib import Path

from rich.table import Table

from motionlab.apis.lifting_sweep import VARIANTS, Run, expand_runs
from motionlab.apis.sweep_places import METRICS, Place, find_place
from motionlab.apis.sweep_results import SHOWN, summarize, table_of, to_markdown
from motionlab.apis.sweep_work import INTERRUPTED, Worker, shown_command, work
from motionlab.engine.checkpoint import write_atomically
from motionlab.engine.cli import print_table, run_tool

TOOLS = Path(__file__).resolve().parent


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
    worker = Worker(args.jobs, partial(train_command, slurm=args.slurm), partial(test_command, slurm=args.slurm),
                    slurm=args.slurm is not None)
    failures, interrupted = work(todo, worker) if todo else ({}, False)
    report(places, Path(args.work_dir))
    if failures:
        print(f'{len(failures)} of {len(todo)} runs failed:', file=sys.stderr)
        for name, failure in failures.items():
            print(f'    {name}: {failure}', file=sys.stderr)
    return INTERRUPTED if interrupted else 1 if failures else 0


def _job_name(run: Run) -> str:
    return run.name.replace('/', '-')


if __name__ == '__main__':
    run_tool(main)
