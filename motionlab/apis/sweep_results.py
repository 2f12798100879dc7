"""From the metrics of many runs to tables over seeds, with the gain over plain 2D input."""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from motionlab.apis.lifting_sweep import Run

BASELINE = 'xy'
SHOWN = ('MPJPE', 'P-MPJPE')  # Metrics that get a table; the JSON holds all.
_OOD = 'unseen sets'


def summarize(results: Sequence[tuple[Run, Mapping[str, float]]]) -> list[dict[str, Any]]:
    """Mean, standard deviation and gain of every metric per (config, training set, frames, variant) and test set.

    Besides each test set there is the mean over the sets that training saw nothing of, ``unseen sets``, each counting
    the same, where there are several.

    Args:
        results: Runs and their metrics: ``<set>/<metric>``, or ``<metric>`` of a single test set.

    Returns:
        One dict per combination: ``config, train_set, frames, variant, test_set, seen, metric, mean, std`` (sample
        standard deviation over seeds; None for one seed), ``seeds`` and ``gain_percent``: the change of the mean
        against ``xy`` of the same seeds' runs, negative where an error falls; None where there is no such run.
    """
    values: dict[tuple, dict[int, float]] = {}
    for run, metrics in results:
        for test_set, metric, value in _of_run(run, metrics):
            key = (Path(run.config).stem, run.train_set, run.frames, run.variant, test_set, metric)
            values.setdefault(key, {})[run.seed] = value
    sources = {(Path(run.config).stem, run.train_set): run.sources for run, _ in results}
    rows = []
    for key, by_seed in values.items():
        config, train_set, frames, variant, test_set, metric = key
        mean = math.fsum(by_seed.values()) / len(by_seed)
        plain = values.get((config, train_set, frames, BASELINE, test_set, metric), {})
        shared = [seed for seed in by_seed if seed in plain]
        gain = None
        if shared and variant != BASELINE and math.fsum(plain[seed] for seed in shared):
            ratio = math.fsum(by_seed[seed] for seed in shared) / math.fsum(plain[seed] for seed in shared)
            gain = 100 * (ratio - 1)
        rows.append(dict(
            config=config, train_set=train_set, frames=frames, variant=variant, test_set=test_set,
            seen=test_set in sources[config, train_set], metric=metric, mean=mean,
            std=statistics.stdev(by_seed.values()) if len(by_seed) > 1 else None, seeds=sorted(by_seed),
            gain_percent=gain))
    return rows


def to_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table per metric of :data:`SHOWN`: one line per (config, training set, frames, variant), a column per set."""
    parts = []
    for metric in SHOWN:
        chosen = [row for row in rows if row['metric'] == metric]
        if chosen:
            header, lines = table_of(chosen)
            parts.append('\n'.join([f'## {metric}, mm', '', _line(header), _line(['---'] * len(header)),
                                    *map(_line, lines), '']))
    note = (f'Mean ± standard deviation over seeds; in brackets the change against {BASELINE}. * was trained on. '
            f'"{_OOD}" is the mean over the others, each counting the same.')
    return '\n'.join(['# Results of the sweep', '', note, '', *parts])


def table_of(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Header and lines of one metric's table."""
    sets = list(dict.fromkeys(row['test_set'] for row in rows if row['test_set'] != _OOD))
    sets += [_OOD] * any(row['test_set'] == _OOD for row in rows)
    lines: dict[tuple, dict[str, str]] = {}
    for row in rows:
        key = (row['config'], row['train_set'], str(row['frames']), row['variant'])
        cell = f'{row["mean"]:.1f}' + ('' if row['std'] is None else f' ± {row["std"]:.1f}')
        cell += '' if row['gain_percent'] is None else f' ({row["gain_percent"]:+.1f} %)'
        lines.setdefault(key, {})[row['test_set']] = cell + ' *' * row['seen']
        lines[key]['seeds'] = str(len(row['seeds']))
    header = ['config', 'trained on', 'frames', 'input', 'seeds', *sets]
    return header, [[*key, cells['seeds'], *(cells.get(name, '-') for name in sets)] for key, cells in lines.items()]


def _of_run(run: Run, metrics: Mapping[str, float]) -> list[tuple[str, str, float]]:
    """(test set, metric, value) of one run, without per-action parts."""
    found = []
    # A single set has its name in front only where the config lists it.
    prefixed = len(run.test_sets) > 1 or all(key.startswith(f'{run.test_sets[0]}/') for key in metrics)
    for test_set in run.test_sets:
        prefix = f'{test_set}/' if prefixed else ''
        own = {key.removeprefix(prefix): value for key, value in metrics.items() if key.startswith(prefix)}
        found += [(test_set, key, value) for key, value in own.items() if key.rpartition('/')[0] not in own]
    unseen: dict[str, list[float]] = {}
    others = [name for name in run.test_sets if name not in run.sources]
    for test_set, metric, value in found:
        if test_set in others:
            unseen.setdefault(metric, []).append(value)
    if len(others) > 1:
        found += [(_OOD, metric, math.fsum(each) / len(each)) for metric, each in unseen.items()
                  if len(each) == len(others)]
    return found


def _line(cells: Sequence[str]) -> str:
    return f'| {" | ".join(cells)} |'
