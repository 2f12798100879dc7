"""From nothing to a playable, evaluated model of a game, on two CPU cores and without a download.

    python tools/frame_demo.py

Records the maze game, trains the small model of CONFIG on it, evaluates it on games in mazes it has seen and in mazes
it has not, and prints what came out beside what must: PSNR against copy-last, changed pixels, control, rollouts,
milliseconds. Every step is a command of the toolbox; an interrupted demo goes on where it was. Options after -- go to
tools/frame_prediction.py evaluate.
"""

import argparse
import json
import math
import shlex
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from motionlab.datasets.frame_store import META
from motionlab.engine.cli import print_table, run_tool
from motionlab.engine.config import load_config, resolve_work_dir
from motionlab.utils import ConfigError, MotionLabError

REPO = Path(__file__).resolve().parents[1]
CONFIG = 'configs/frame_prediction/sana-h96-d4_1xb16-1500_maze64.py'
PSNR_GAIN_DB, CHANGED_SHARE, POSITION_SHARE = 1.0, 0.5, 0.7  # What a small model must reach.
AMOUNTS = ('--windows', 256, '--rollouts', 8, '--states', 100)  # Minutes instead of many; standard errors of 2 %.
console = Console()


def run(title: str, *command: object) -> float:
    """Run one command of the toolbox from the repository root, showing it and what it prints; returns its seconds."""
    console.rule(f'[bold]{title}')
    words = [str(word) for word in command]
    console.print('$ python ' + shlex.join(words), style='dim', markup=False, soft_wrap=True)
    start = time.perf_counter()
    result = subprocess.run([sys.executable, *words], cwd=REPO, check=False)
    if result.returncode:
        raise MotionLabError(f'demo: "{title}" ended with return code {result.returncode}; the message stands above.')
    return time.perf_counter() - start


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--config', default=CONFIG, help=f'what is trained, and on which store (default {CONFIG})')
    parser.add_argument('--work-dir', help="where to train; default as for tools/train.py")
    parser.add_argument('--frames', type=int, default=50_000, help='to record (default 50000)')
    parser.add_argument('--mazes', type=int, default=8, help='to train in (default 8)')
    parser.add_argument('evaluate', nargs='*', metavar='-- OPTION', help='of tools/frame_prediction.py evaluate')
    return parser.parse_args(argv)


def judge(numbers: dict, splits: list[str]) -> Table:
    """What must hold, and what was found on each split."""
    table = Table(title='What must hold')
    for column in ('', 'at least', *splits):
        table.add_column(column, justify='right' if column else 'left')

    def row(title: str, least: str, found: list[tuple[str, bool]]) -> None:
        table.add_row(title, least, *(f'{text} {"yes" if holds else "NO"}' for text, holds in found))

    gains = [numbers[split]['windows'] for split in splits]
    row('PSNR above copy-last, mean over frames', f'{PSNR_GAIN_DB:g} dB', [
        (f'{each["psnr"] - each["copy_last_psnr"]:+.2f} dB',
         each['psnr'] - each['copy_last_psnr'] >= PSNR_GAIN_DB) for each in gains])
    row('PSNR above copy-last, of the mean error', f'{PSNR_GAIN_DB:g} dB', [
        (f'{each["psnr_of_mean"] - each["copy_last_psnr_of_mean"]:+.2f} dB',
         each['psnr_of_mean'] - each['copy_last_psnr_of_mean'] >= PSNR_GAIN_DB) for each in gains])
    row('error on changed pixels, share of copy-last', f'at most {CHANGED_SHARE:.0%}', [
        (f'{each.get("changed_mse_share", math.nan):.1%}',
         each.get('changed_mse_share', math.nan) <= CHANGED_SHARE) for each in gains])
    for name, title in (('position', 'player where the rules put it'),
                        ('position_moving', 'the same, where it moves')):
        found = [numbers[split]['control'][name] for split in splits]
        row(title, f'{POSITION_SHARE:.0%}', [
            (f'{each["value"]:.1%} +- {each["error"]:.1%}', each['value'] >= POSITION_SHARE) for each in found])
    return table


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    cfg = load_config(REPO / args.config)
    resolve_work_dir(cfg, args.work_dir)
    dataset, work_dir = cfg.train_dataloader.dataset, Path(cfg.work_dir)
    if dataset.get('type') != 'FrameWindowDataset':
        raise ConfigError(f'{args.config}: trains on a {dataset.get("type")}, expected a FrameWindowDataset.')
    store = Path(dataset.get('data_root', ''), dataset.ann_file)
    if (REPO / store / META).is_file():
        console.print(f'{store}: recorded already.', markup=False, soft_wrap=True)
    else:
        run('Record the game', 'tools/dataset_converters/record_maze_game.py', store, '--frames', args.frames,
            '--mazes', args.mazes)
    seconds = run('Train', 'tools/train.py', args.config, '--work-dir', work_dir, '--resume')
    out = work_dir / 'demo'
    model = (args.config, work_dir, '--store', store)
    run('Evaluate', 'tools/frame_prediction.py', 'evaluate', *model, '--out', out / 'evaluation.json', *AMOUNTS,
        *args.evaluate)
    numbers = json.loads((REPO / out / 'evaluation.json').read_text(encoding='utf-8'))
    splits = [name for name in numbers if name != 'speed']
    for split in splits:
        longest = str(numbers[split]['rollouts']['horizons'][-1])
        run(f'Play {split}', 'tools/frame_prediction.py', 'predict', *model, '--split', split, '--frames', longest,
            '--out-dir', out / split)
        run(f'Draw {split}', 'tools/frame_prediction.py', 'strip', *model, '--split', split, '--out',
            out / split / 'windows.png')
    console.rule('[bold]Result')
    print_table(judge(numbers, splits))
    console.print(f'Training took {seconds / 60:.1f} minutes in this run. Numbers: {out / "evaluation.json"}; strips '
                  f'and GIFs: {out / "test_*"}; TensorBoard: tensorboard --logdir {work_dir / "logs"}', markup=False,
                  soft_wrap=True)
    console.print(f'Play it: python tools/play.py {args.config} {work_dir}', markup=False, soft_wrap=True)


if __name__ == '__main__':
    run_tool(main)
