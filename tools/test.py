"""Test a model: python tools/test.py CONFIG CHECKPOINT|WORK_DIR [options].

To see what a network does that has learned nothing: python tools/test.py CONFIG --untrained.
"""

import argparse
import json
import math
from pathlib import Path

from mmengine import Config
from mmengine.dist import is_main_process
from rich.table import Table

from motionlab.engine.cli import add_run_options, apply_run_options, choose_checkpoint, print_table, run_tool
from motionlab.engine.config import load_config, resolve_work_dir
from motionlab.engine.loops import UNTRAINED
from motionlab.evaluation.metrics.base import NUM_SAMPLES
from motionlab.registry import RUNNERS
from motionlab.utils import ConfigError

MACRO = 'macro'  # The mean over test sets, each counting the same, in tables and in --out.


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', nargs='?',
                        help='checkpoint file, or a work dir: its best_model.pth, else its newest')
    parser.add_argument('--untrained', action='store_true',
                        help='test fresh weights instead of a checkpoint; every result is labelled UNTRAINED')
    parser.add_argument('--work-dir', help='where to log; else work_dir of the config, else work_dirs/<config name>')
    parser.add_argument('--out', metavar='FILE', help='write the metrics here (.json)')
    parser.add_argument('--dump', metavar='FILE', help='write the predictions here (.pkl or .npz)')
    add_run_options(parser)
    args = parser.parse_args(argv)
    if args.untrained and args.checkpoint:
        parser.error('argument --untrained: not allowed with a checkpoint')
    if not args.untrained and not args.checkpoint:
        parser.error('the following arguments are required: checkpoint (or --untrained, to test fresh weights)')
    return args


def build_config(args: argparse.Namespace) -> Config:
    """The config with everything the command line says.

    Raises:
        ConfigError: see :func:`motionlab.engine.config.load_config`; or the config tests nothing.
    """
    if args.out and Path(args.out).suffix != '.json':
        raise ConfigError(f'--out {args.out}: metrics are written as JSON, name a .json file.')
    cfg = load_config(args.config, args.cfg_options)
    if cfg.get('test_dataloader') is None:
        raise ConfigError(f'{args.config}: has no test_dataloader, test_cfg and test_evaluator.')
    resolve_work_dir(cfg, args.work_dir)
    apply_run_options(cfg, args)
    cfg.resume, cfg.load_from = False, None if args.untrained else str(choose_checkpoint(args.checkpoint))
    cfg.untrained = args.untrained
    if args.dump:
        metrics = cfg.test_evaluator
        cfg.test_evaluator = [*(metrics if isinstance(metrics, list) else [metrics]),
                              dict(type='DumpPredictions', out_file=args.dump)]
    return cfg


def split_by_set(metrics: dict[str, float], names: list[str]) -> dict[str, dict[str, float]]:
    """Metrics of each test set, without their parts: ``MPJPE/walk`` is one of ``MPJPE``.

    Args:
        metrics: ``<set>/<metric>``, or ``<metric>`` of a single set.
        names: The sets.
    """
    return {name: {key: value for key, value in own.items() if key.rpartition('/')[0] not in own}
            for name, own in _of_each_set(metrics, names).items()}


def split_by_action(metrics: dict[str, float], names: list[str]) -> dict[str, dict[str, dict[str, float]]]:
    """Metrics of each test set and each of its actions, the pooled ones first and the mean over actions last.

    Sets whose metrics have no ``action-wise`` part are left out.
    """
    tables = {}
    for name, own in _of_each_set(metrics, names).items():
        rows: dict[str, dict[str, float]] = {'frame-wise': {}}
        for key, value in own.items():
            metric, _, part = key.rpartition('/')
            if metric in own and f'{metric}/action-wise' in own:
                rows.setdefault(part, {})[metric] = value
            elif f'{key}/action-wise' in own:
                rows['frame-wise'][key] = value
        if 'action-wise' in rows:
            rows['action-wise'] = rows.pop('action-wise')
            tables[name] = rows
    return tables


def macro_means(rows: dict[str, dict[str, float]]) -> dict[str, float]:
    """Mean over test sets, each counting the same, of every metric (not a count) that all of them have."""
    shared = [column for column in next(iter(rows.values()))
              if column != NUM_SAMPLES and all(column in row for row in rows.values())]
    return {column: math.fsum(row[column] for row in rows.values()) / len(rows) for column in shared}


def make_table(rows: dict[str, dict[str, float]], title: str, first_column: str = 'test set') -> Table:
    """One line per row, and one column per metric that any of them has."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    digits = {column: _digits(column, [row[column] for row in rows.values() if column in row]) for column in columns}
    table = Table(title=title)
    table.add_column(first_column)
    for column in columns:
        table.add_column(column, justify='right')
    for name, row in rows.items():
        table.add_row(name, *(f'{row[column]:.{digits[column]}f}' if column in row else '-' for column in columns))
    return table


def _digits(column: str, values: list[float]) -> int:
    """Decimals that show something: metres and radians are often far below 1."""
    return 0 if column == NUM_SAMPLES else 4 if all(abs(value) < 1 for value in values) else 2


def print_metrics(metrics: dict[str, float], names: list[str], title: str) -> None:
    """A table of actions for each test set that has them, then one row per set and, for several, their mean."""
    for name, actions in split_by_action(metrics, names).items():
        print_table(make_table(actions, name, 'action'))
    rows = split_by_set(metrics, names)
    if len(names) > 1:
        rows[f'{MACRO} mean'] = macro_means(rows)
    print_table(make_table(rows, title))


def _of_each_set(metrics: dict[str, float], names: list[str]) -> dict[str, dict[str, float]]:
    # A single set has its name in front only where the config lists it.
    prefixed = len(names) > 1 or all(key.startswith(f'{names[0]}/') for key in metrics)
    prefixes = {name: f'{name}/' if prefixed else '' for name in names}
    return {name: {key.removeprefix(prefix): value for key, value in metrics.items() if key.startswith(prefix)}
            for name, prefix in prefixes.items()}


def main() -> None:
    args = parse_args()
    cfg = build_config(args)
    runner = RUNNERS.get(cfg.get('runner_type', 'MotionRunner')).from_cfg(cfg)
    names = [(loader.dataset.metainfo or {}).get('dataset_name', 'test') for loader in runner.test_loop.loaders]
    if len(names) > 1 and MACRO in names:
        raise ConfigError(f'test_dataloader: a set is named {MACRO!r}, which names the mean over sets: set another '
                          'dataset_name.')
    label = UNTRAINED if args.untrained else ''
    metrics = {key.removeprefix(label): float(value) for key, value in runner.test().items()}
    if not is_main_process():
        return
    print_metrics(metrics, names, cfg.load_from or f'UNTRAINED: fresh weights of seed {runner.seed}')
    if args.out:
        if len(names) > 1:
            means = macro_means(split_by_set(metrics, names))
            metrics.update({f'{MACRO}/{key}': value for key, value in means.items()})
        Path(args.out).parent.mkdir(parents=True, exist_ok=True)
        Path(args.out).write_text(json.dumps({label + key: value for key, value in metrics.items()}, indent=2))
        print(f'Metrics: {args.out}')
    if args.dump:
        print(f'Predictions: {args.dump}')


if __name__ == '__main__':
    run_tool(main)
