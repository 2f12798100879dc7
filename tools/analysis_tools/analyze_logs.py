"""Plot logged curves or print training times.

python tools/analysis_tools/analyze_logs.py plot_curve LOG ... --keys loss --out PICTURE.png
python tools/analysis_tools/analyze_logs.py cal_train_time LOG ...
"""

import argparse
from pathlib import Path

import numpy as np

from motionlab.engine.cli import run_tool
from motionlab.engine.curves import read_curves, read_records
from motionlab.utils import DataError


def plot_curve(args: argparse.Namespace) -> None:
    """One line per log and key, in one figure."""
    import matplotlib
    if args.backend or args.out:
        matplotlib.use(args.backend or 'Agg')
    from matplotlib import pyplot as plt
    names = [f'{log} {key}' for log in args.logs for key in args.keys]
    if args.legend and len(args.legend) != len(names):
        raise DataError('--legend', 'names', len(args.legend), f'{len(names)} (logs x keys)')
    if args.style:
        plt.style.use(args.style)
    figure, axis = plt.subplots()
    legend = iter(args.legend or names)
    for log in args.logs:
        curves = read_curves(log)
        for key in args.keys:
            if key not in curves:
                raise DataError(log, '--keys', key, f'one of {sorted(curves)}')
            axis.plot(list(curves[key]), list(curves[key].values()), label=next(legend))
    axis.set_xlabel('step')
    axis.set_title(args.title or '')
    axis.legend()
    if args.out is None:
        plt.show()
        return
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out)
    plt.close(figure)
    print(f'Curves: {args.out}')


def cal_train_time(args: argparse.Namespace) -> None:
    """Mean, fastest and slowest epoch, in seconds an iteration."""
    for log in args.logs:
        epochs: dict[int, list[float]] = {}
        for record in read_records(log):
            if 'time' in record and 'iter' in record:
                epochs.setdefault(int(record.get('epoch', 0)), []).append(float(record['time']))
        if not epochs:
            raise DataError(log, 'time', 'no training records', 'lines with iter and time')
        # The first record of an epoch waits for its workers to start.
        kept = {epoch: times if args.include_outliers or len(times) == 1 else times[1:]
                for epoch, times in epochs.items()}
        means = {epoch: float(np.mean(times)) for epoch, times in kept.items()}
        slowest, fastest = max(means, key=means.get), min(means, key=means.get)
        everything = np.concatenate([np.asarray(times) for times in kept.values()])
        print(f'{log}: {everything.mean():.4f} s/iter over {len(means)} epochs '
              f'(slowest epoch {slowest}: {means[slowest]:.4f}, fastest epoch {fastest}: {means[fastest]:.4f}, '
              f'standard deviation over epochs {np.std(list(means.values())):.4f})')


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tasks = parser.add_subparsers(dest='task', required=True)
    plot = tasks.add_parser('plot_curve', help='plot curves')
    plot.add_argument('logs', nargs='+', help='work dirs or scalars.json files')
    plot.add_argument('--keys', nargs='+', default=['loss'], help='scalars to plot (default: loss)')
    plot.add_argument('--title', help='title of the figure')
    plot.add_argument('--legend', nargs='+', help='name of each curve, logs outermost')
    plot.add_argument('--backend', help='backend of matplotlib')
    plot.add_argument('--style', help='style of matplotlib')
    plot.add_argument('--out', metavar='PICTURE', help='save here in place of showing')
    plot.set_defaults(run=plot_curve)
    times = tasks.add_parser('cal_train_time', help='print training times')
    times.add_argument('logs', nargs='+', help='work dirs or scalars.json files')
    times.add_argument('--include-outliers', action='store_true', help='count the first record of every epoch too')
    times.set_defaults(run=cal_train_time)
    args = parser.parse_args(argv)
    args.run(args)


if __name__ == '__main__':
    run_tool(main)
