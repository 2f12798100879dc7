"""Compare the logged scalars of two or more runs, value by value at the steps they share.

python tools/analysis_tools/compare_runs.py WORK_DIR WORK_DIR ... [--keys KEY ...] [--tol X] [--out PICTURE.png]
"""

import argparse
import math
from pathlib import Path

from rich.table import Table

from motionlab.engine.cli import print_table, run_tool
from motionlab.engine.curves import Curve, read_curves

# Measured, not computed: they differ between any two runs.
_MACHINE = {'time', 'data_time', 'eta', 'memory', 'test/time', 'test/data_time', 'val/time', 'val/data_time'}


def largest_difference(curves: list[Curve]) -> tuple[float, float]:
    """Largest spread at any step that one of the curves has; infinite if another lacks it there.

    Returns:
        The spread in the unit of the values, and relative to the values where these are larger than 1.
    """
    largest = relative = 0.0
    for step in set().union(*curves):
        values = [curve.get(step, math.nan) for curve in curves]
        if all(math.isnan(value) for value in values):
            continue  # All diverged alike.
        if any(math.isnan(value) for value in values):
            return math.inf, math.inf
        spread = max(values) - min(values)
        largest = max(largest, spread)
        relative = max(relative, spread / max(1.0, *map(abs, values)))
    return largest, relative


def choose_keys(runs: list[dict[str, Curve]], wanted: list[str] | None) -> list[str]:
    """The wanted names, or all but those that measure the machine; names that any run has."""
    known = sorted(set().union(*runs))
    return list(wanted) if wanted else [key for key in known if key not in _MACHINE]


def show_differences(names: list[str], runs: list[dict[str, Curve]], keys: list[str]) -> dict[str, float]:
    """Print last, smallest and largest value of each key in each run; returns each key's relative difference."""
    table = Table(title='last value (smallest .. largest)')
    table.add_column('scalar')
    for name in names:
        table.add_column(name, justify='right')
    table.add_column('largest difference', justify='right')
    differences = {}
    for key in keys:
        curves = [run.get(key, {}) for run in runs]
        largest, differences[key] = largest_difference(curves)
        table.add_row(key, *map(_summary, curves), f'{largest:.3g}')
    print_table(table)
    return differences


def _summary(curve: Curve) -> str:
    if not curve:
        return '-'
    values = list(curve.values())
    return f'{curve[max(curve)]:.6g} ({min(values):.6g} .. {max(values):.6g})'


def draw(names: list[str], runs: list[dict[str, Curve]], keys: list[str], out: str) -> None:
    """One small plot per key, one line per run."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot as plt
    columns = min(3, len(keys))
    rows = math.ceil(len(keys) / columns)
    figure, axes = plt.subplots(rows, columns, figsize=(5 * columns, 3.2 * rows), squeeze=False)
    for axis in axes.flat[len(keys):]:
        axis.set_axis_off()
    for axis, key in zip(axes.flat, keys):
        for name, run in zip(names, runs):
            steps = sorted(run.get(key, {}))
            axis.plot(steps, [run[key][step] for step in steps], label=name, marker='.' if len(steps) < 30 else None)
        axis.set_title(key)
        axis.set_xlabel('step')
        axis.legend()
    figure.tight_layout()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)
    plt.close(figure)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', nargs='+', help='work dirs or scalars.json files')
    parser.add_argument('--keys', nargs='+', help='scalars to compare; default all but times and memory')
    parser.add_argument('--tol', type=float,
                        help='exit with 1 if a value is in one run only, or differs by more than this (times the '
                             'value, where that is above 1)')
    parser.add_argument('--out', metavar='PICTURE', help='also draw the curves')
    args = parser.parse_args(argv)
    if len(args.runs) < 2:
        parser.error('two runs are needed')

    runs = [read_curves(run) for run in args.runs]
    keys = choose_keys(runs, args.keys)
    differences = show_differences(args.runs, runs, keys)
    if args.out and keys:
        draw(args.runs, runs, keys, args.out)
        print(f'Curves: {args.out}')
    if args.tol is None:
        return 0
    different = [key for key, value in differences.items() if value > args.tol]
    absent = [key for key in keys if not any(key in run for run in runs)]
    if different or absent or not keys:
        print(f'{len(different)} of {len(keys)} scalars differ by more than {args.tol:g}: {", ".join(different) or "-"}'
              + (f'; in no run: {", ".join(absent)}' if absent else ''))
        return 1
    print(f'{len(keys)} scalars agree to {args.tol:g}.')
    return 0


if __name__ == '__main__':
    run_tool(main)
