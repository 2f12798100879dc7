"""Where does one lifter beat another? Occlusion, novelty, confidence and depth order, from dumped predictions.

python tools/test.py CONFIG CHECKPOINT --dump xy.npz          (once per model, on the same test sets)
python tools/analysis_tools/analyze_lifting.py xy=xy.npz xycd=xycd.npz --training-set data/lifting/bandai2/train.npz \\
    --out work_dirs/analysis

The first model is the baseline: "change" is how far another one's figure is above (+) or below (-) its own, in percent.
Groups of joints and frames follow from truth and from the baseline's detections, and are the same for every model.
"""

import argparse
import json
from pathlib import Path

import torch
from rich.table import Table
from torch import Tensor

from motionlab.engine.cli import print_table, run_tool
from motionlab.evaluation.functional import pose
from motionlab.evaluation.functional.novelty import FRAMES, quartiles
from motionlab.evaluation.metrics.depth_order_accuracy import depth_order_tables
from motionlab.evaluation.metrics.lifting_dump import DumpedSet, check_same_frames, load_dump
from motionlab.evaluation.metrics.lifting_rows import LiftingRows
from motionlab.evaluation.metrics.pose_breakdown import joint_groups
from motionlab.evaluation.metrics.training_centres import TrainingCentres, fit_centres, load_centres
from motionlab.utils import ConfigError, DataError

_ERRORS = {'MPJPE': (0, 1, 2), 'depth error': (2,), 'image plane error': (0, 1)}  # Along which camera axes.
_ORDER = 'depth order'
Cells = dict[str, tuple[float, int]]  # Row name: value, and how many joints or pairs it is the mean of.


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('dumps', nargs='+', metavar='[NAME=]DUMP.npz', help='predictions; the first is the baseline')
    parser.add_argument('--training-set', metavar='ANN.npz', help='annotation of the training set, for novelty')
    parser.add_argument('--centres', metavar='FILE.npz',
                        help='k-means centres of the training set: written with --training-set, else read')
    parser.add_argument('--novelty-frame', choices=FRAMES, default='camera',
                        help='compare poses as they are seen, or turned to face the camera (default: %(default)s)')
    parser.add_argument('--out', metavar='FOLDER', help='write analysis.json and analysis.png here')
    return parser.parse_args(argv)


def load_models(dumps: list[str]) -> dict[str, dict[str, DumpedSet]]:
    """Dumped sets by model; every model has the same frames of the same sets.

    Raises:
        ConfigError: two models of one name.
        DataError: see :mod:`motionlab.evaluation.metrics.lifting_dump`.
    """
    models: dict[str, dict[str, DumpedSet]] = {}
    for dump in dumps:
        name, _, path = dump.rpartition('=')
        name = name or Path(path).stem
        if name in models:
            raise ConfigError(f'{dump}: a second model named {name!r}; write NAME={path}.')
        models[name] = load_dump(path)
    baseline, *others = models.values()
    for other in others:
        if set(other) != set(baseline):
            file = next(iter(other.values())).file
            raise DataError(file, 'test sets', sorted(other), f'those of the first model: {sorted(baseline)}')
        for name, dumped in baseline.items():
            check_same_frames(dumped, other[name])
    return models


def find_centres(args: argparse.Namespace) -> TrainingCentres | None:
    """Centres of the training set that the command line names, if it names one."""
    if args.training_set:
        ann = Path(args.training_set)
        dataset = dict(type='PoseLiftingDataset', ann_file=str(ann), seq_len=1, keypoints='ground_truth')
        centres = fit_centres(dataset, frame=args.novelty_frame)
        if args.centres:
            centres.save(args.centres)
        return centres
    if not args.centres:
        return None
    centres = load_centres(args.centres)
    if centres.frame != args.novelty_frame:
        raise ConfigError(f'{args.centres}: holds centres in the frame {centres.frame!r}; add --novelty-frame '
                          f'{centres.frame}, or name a --training-set.')
    return centres


def find_groups(rows: LiftingRows, centres: TrainingCentres | None) -> dict[str, Tensor]:
    """(N, K) masks of joints by row name, from truth and detections alone: the same for every model."""
    by = ['occlusion'] + ['novelty'] * (centres is not None) + ['confidence'] * (rows.confidence is not None)
    distance = None if centres is None else centres.novelty(rows.target, rows.visible)
    groups = {'all': rows.visible}
    parts = joint_groups(rows, by, distance)
    _, hidden = parts['occlusion']
    share = (hidden == 1).sum(dim=1) / rows.visible.sum(dim=1)                             # (N,) NaN: nothing counts
    parts['frame occlusion'] = ('Q1', 'Q2', 'Q3', 'Q4'), torch.where(
        rows.visible, quartiles(share)[:, None], -1)
    for part, (labels, cell) in parts.items():
        groups.update({f'{part} {label}': cell == number for number, label in enumerate(labels)})
    if not rows.visible.any():
        raise ConfigError('No joint counts in this test set.')
    return {name: mask for name, mask in groups.items() if mask.any()}


def measure(rows: LiftingRows, groups: dict[str, Tensor]) -> dict[str, Cells]:
    """Every table of one model on one test set: errors in mm by group, depth order in percent."""
    tables = {}
    for name, axes in _ERRORS.items():
        errors = 1000 * pose.joint_errors(rows.pred[..., axes], rows.target[..., axes])    # (N, K)
        tables[name] = {group: (errors[mask].mean().item(), int(mask.sum())) for group, mask in groups.items()}
    tables[_ORDER] = {}
    for name, (hits, counted) in depth_order_tables(rows).items():
        if counted.any():
            tables[_ORDER][name] = 100 * (hits.sum() / counted.sum()).item(), int(counted.sum())
    return tables


def compare(models: dict[str, Cells]) -> dict[str, dict]:
    """By row: how many count, each model's value and how much it differs from the first model's, in percent."""
    first, *others = models
    return {row: {'count': count, 'values': {name: cells[row][0] for name, cells in models.items()},
                  'change_percent': {name: 100 * (models[name][row][0] / value - 1) if value else None
                                     for name in others}}
            for row, (value, count) in models[first].items()}


def show(title: str, rows: dict[str, dict]) -> None:
    """Print one comparison."""
    table = Table(title=title)
    table.add_column('')
    table.add_column('count', justify='right')
    first = next(iter(rows.values()))
    for name in first['values']:
        table.add_column(name, justify='right')
    for name in first['change_percent']:
        table.add_column(f'{name}: change %', justify='right')
    for name, row in rows.items():
        table.add_row(name, str(row['count']), *(f'{value:.2f}' for value in row['values'].values()),
                      *('-' if value is None else f'{value:+.1f}' for value in row['change_percent'].values()))
    print_table(table)


def draw(results: dict[str, dict[str, dict]], path: Path) -> None:
    """Bars of the errors: one line of pictures per test set, one picture per table."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot as plt
    figure, axes = plt.subplots(len(results), len(_ERRORS), figsize=(6 * len(_ERRORS), 4.5 * len(results)),
                                squeeze=False)
    for line, (set_name, tables) in zip(axes, results.items()):
        for axis, title in zip(line, _ERRORS):
            rows = tables[title]
            models = list(next(iter(rows.values()))['values'])
            width = 0.8 / len(models)
            for number, model in enumerate(models):
                axis.bar([place + number * width for place in range(len(rows))],
                         [row['values'][model] for row in rows.values()], width, label=model)
            axis.set_xticks([place + 0.4 - width / 2 for place in range(len(rows))], list(rows), rotation=90)
            axis.set_title(f'{set_name}: {title}', loc='right')
            axis.set_ylabel('mm')
            axis.legend(loc='upper left', bbox_to_anchor=(0, 1.25), ncols=len(models))
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    models = load_models(args.dumps)
    centres = find_centres(args)
    if centres is None:
        print('Novelty is left out: no --training-set and no --centres.')
    baseline = next(iter(models.values()))
    results: dict[str, dict[str, dict]] = {}
    for set_name, dumped in baseline.items():
        groups = find_groups(dumped.rows, centres)
        if dumped.rows.confidence is None:
            print(f'{set_name}: confidence is left out, {dumped.file} holds none.')
        tables = {name: measure(sets[set_name].rows, groups) for name, sets in models.items()}
        results[set_name] = {title: compare({name: each[title] for name, each in tables.items()})
                             for title in (*_ERRORS, _ORDER)}
        for title, rows in results[set_name].items():
            show(f'{set_name}: {title}, {"percent" if title == _ORDER else "mm"}', rows)
    if args.out:
        folder = Path(args.out)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / 'analysis.json').write_text(json.dumps(results, indent=2))
        draw(results, folder / 'analysis.png')
        print(f'Tables: {folder / "analysis.json"}\nPicture: {folder / "analysis.png"}')
    return 0


if __name__ == '__main__':
    run_tool(main)
