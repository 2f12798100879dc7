"""Train the velocity and the acceleration variant with equal settings, evaluate both, and print what differs:

    python tools/compare_motion_variants.py [CONFIG] --seeds 0 1 [--cfg-options train_cfg.max_iters=2000]

Runs that are complete are skipped, interrupted ones go on. Ctrl-C lets the running one write a checkpoint and ends.
Results go to <work-dir>/results.json, results.md and strips.png.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from matplotlib.image import imsave
from rich.table import Table

from motionlab.apis.lifting_sweep import parse_options
from motionlab.apis.motion_comparison import (
    NOTE,
    ORDERS,
    SETTINGS,
    compare,
    comparison_runs,
    last_losses,
    table_cells,
    to_markdown,
)
from motionlab.apis.sweep_places import METRICS, Place, find_place
from motionlab.apis.sweep_work import INTERRUPTED, Worker, shown_command, work
from motionlab.datasets.motion_store import open_motion_store
from motionlab.engine.checkpoint import write_atomically
from motionlab.engine.cli import make_folder, print_table, run_tool
from motionlab.engine.config import load_config
from motionlab.utils import ConfigError
from motionlab.visualization.motion_drawing import draw_motion_strips

TOOLS = Path(__file__).resolve().parent
CONFIG = 'configs/motion_generation/primal-velocity-h128_1xb64-4k_mocap.py'
# Of the pictures: what both variants did from the same first pose under the same control.
SHOWN = (('realism', 'free'), ('realism', 'free 2'), ('control', '90 deg, 1 m/s'), ('control', '0 deg, 1 m/s'))


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', nargs='?', default=CONFIG, help=f'of one of them (default {CONFIG})')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1], metavar='S', help='default: 0 1')
    parser.add_argument('--work-dir', default='work_dirs/motion_variants', help='one folder per run goes here')
    parser.add_argument('--store', metavar='FILE', help="prepared motions; default: the config's first test set")
    parser.add_argument('--limit', type=int, default=24, help='first poses of each setting (default 24)')
    parser.add_argument('--steps', type=int, default=50, help='denoising steps of a window (default 50)')
    parser.add_argument('--jobs', type=int, default=1, metavar='N', help='runs at a time (default: 1)')
    parser.add_argument('--dry-run', action='store_true', help='list every run with its commands; start nothing')
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='K=V', help='overrides for all runs')
    args = parser.parse_args(argv)
    if min(args.jobs, args.limit, args.steps) < 1 or min(args.seeds) < 0:
        parser.error('--jobs, --limit and --steps: expected at least 1; --seeds: at least 0')
    return args


def train_command(place: Place) -> list[str]:
    """What trains the run, from its newest checkpoint if it has one."""
    return [sys.executable, str(TOOLS / 'train.py'), place.run.config, '--work-dir', str(place.folder), '--resume',
            '--cfg-options', *place.run.options]


def evaluate_command(place: Place) -> list[str]:
    """What generates with the run's newest weights, the averaged ones, and scores."""
    asked = {key.removeprefix('evaluation.'): value for key, value in place.run.testing.items()
             if key.startswith('evaluation.')}
    return [sys.executable, str(TOOLS / 'motion_generation.py'), 'evaluate', place.run.config, str(place.folder),
            '--store', asked['store'], '--setting', *SETTINGS, '--limit', str(asked['limit']), '--steps',
            str(asked['steps']), '--seq-len', str(place.run.frames), '--out', str(place.folder / METRICS),
            '--cfg-options', *place.run.options]


def report(places: list[Place], work_dir: Path) -> None:
    """Print the table; write it, the numbers and the strips."""
    done = [place for place in places if place.tested]
    print(f'{len(done)} of {len(places)} runs are complete.')
    if not done:
        return
    results = [(place.run, {'losses': last_losses(place.folder), **json.loads((place.folder / METRICS).read_text())})
               for place in done]
    rows, runs = compare(results), [place.run for place in done]
    table = Table('', *ORDERS, 'recordings', 'further apart than the spread',
                  title=f'Velocity against acceleration: mean ± standard deviation over seeds, {len(done)} runs')
    for row in rows:
        table.add_row(*table_cells(row))
    print_table(table)
    print(NOTE)
    content = dict(complete=len(done), of=len(places), table=rows, runs=[
        dict(name=run.name, variant=run.variant, seed=run.seed, options=run.options, metrics=found)
        for run, found in results])
    write_atomically(work_dir / 'results.json', lambda file: file.write(json.dumps(content, indent=1).encode()))
    write_atomically(work_dir / 'results.md', lambda file: file.write(to_markdown(rows, runs).encode()))
    written = ['results.json', 'results.md']
    if (picture := draw_strips(done)) is not None:
        imsave(work_dir / 'strips.png', picture)
        written.append('strips.png')
    print('written: ' + ', '.join(str(work_dir / name) for name in written))


def draw_strips(places: list[Place]) -> np.ndarray | None:
    """Velocity and acceleration of the first seed that has both, row by row; None where no seed has."""
    by_seed = {seed: {place.run.variant: place.folder for place in places if place.run.seed == seed}
               for seed in dict.fromkeys(place.run.seed for place in places)}
    folders = next((found for found in by_seed.values() if len(found) == len(ORDERS)), None)
    if folders is None:
        return None
    motions, captions = [], []
    for setting, name in SHOWN:
        for variant, folder in folders.items():
            with np.load(folder / f'{Path(METRICS).stem}_{setting}.npz', allow_pickle=False) as arrays:
                if name in arrays:
                    motions.append(arrays[name])
                    captions.append(f'{variant}, {name}')
    fps = load_config(places[0].run.config, parse_options(places[0].run.options)).model.codec.get('fps', 30)
    return draw_motion_strips(motions, fps, 8, captions) if motions else None


def main() -> int:
    args = parse_args()
    store = args.store or first_test_file(args.config, args.cfg_options)
    runs = comparison_runs(args.config, args.seeds, args.cfg_options,
                           dict(store=str(store), limit=args.limit, steps=args.steps), open_motion_store(store))
    places = [find_place(run, args.work_dir) for run in runs]
    todo = [place for place in places if not place.tested]
    if args.dry_run:
        for number, place in enumerate(places, start=1):
            print(f'[{number}/{len(places)}] {place.run.name}: {place.state}')
            for command in [train_command] * (not place.trained) + [evaluate_command] * (not place.tested):
                print(f'    {shown_command(command(place))}')
        return 0
    make_folder(Path(args.work_dir))
    failures, interrupted = work(todo, Worker(args.jobs, train_command, evaluate_command)) if todo else ({}, False)
    report(places, Path(args.work_dir))
    for name, failure in failures.items():
        print(f'{name}: {failure}', file=sys.stderr)
    return INTERRUPTED if interrupted else 1 if failures else 0


def first_test_file(config: str, options: list[str]) -> Path:
    """The annotation of the config's first test set; ConfigError where it has none."""
    loaders = load_config(config, parse_options(options)).get('test_dataloader')
    if not loaders:
        raise ConfigError(f'{config}: found no test_dataloader, expected one, or --store FILE.')
    dataset = (loaders[0] if isinstance(loaders, list | tuple) else loaders)['dataset']
    return Path(dataset.get('data_root', ''), dataset['ann_file'])


if __name__ == '__main__':
    run_tool(main)
