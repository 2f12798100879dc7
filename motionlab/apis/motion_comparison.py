"""Velocity against acceleration with equal settings: the runs, and the table of what came out."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from motionlab.apis.lifting_sweep import Run, describe_run, parse_options
from motionlab.apis.pretrained import build_model
from motionlab.codecs.motion_source import check_motion_source
from motionlab.datasets.motion_store import MotionStore
from motionlab.engine.config import load_config
from motionlab.models.motion_rollout import MotionRollout
from motionlab.models.rollout_options import RolloutOptions
from motionlab.utils import ConfigError, DataError

ORDERS = {'velocity': 1, 'acceleration': 2}
SETTINGS = ('realism', 'control')
_SEQ_LEN = 16  # Of datasets that do not say.
_TAKEN = ('randomness.seed', 'work_dir', 'model.codec.order')
# (setting, metric, what it is called); losses are those of the last validation.
ROWS = (('losses', 'simple', 'val simple (features, MSE) *'), ('losses', 'fk', 'val fk (joints, m^2)'),
        ('losses', 'velocity', 'val velocity (feature units^2)'),
        ('losses', 'acceleration', 'val acceleration (feature units^2)'), ('losses', 'total', 'val total *'),
        ('realism', 'skating', 'skating (share)'), ('realism', 'non_collision', 'non-collision (share)'),
        ('realism', 'seam_jerk', 'seam jerk (m/s^3)'), ('realism', 'jerk', 'jerk elsewhere (m/s^3)'),
        ('control', 'velocity_error', 'velocity error under control (m/s)'),
        ('control', 'direction_error', 'direction error under control (0 to 2)'),
        ('control', 'skating', 'skating under control (share)'),
        ('speed', 'frames_per_second', 'frames per second'))
NOTE = ('* Not to be compared across variants: the acceleration features have one block more, and the last term of the '
        'total is another. Compare fk, and what is measured on generated motion. A difference that is not larger than '
        'the spread over seeds says nothing.')


def comparison_runs(config: str, seeds: Sequence[int], options: Sequence[str], evaluation: Mapping[str, object],
                    store: MotionStore | None = None) -> list[Run]:
    """Both variants for every seed, from one config; they differ by ``model.codec.order`` alone.

    What cannot be trained or read off afterwards shows here, not after hours of the other variant.

    Args:
        config: Of a :class:`motionlab.models.MotionDiffuser`.
        seeds: At least one.
        options: ``key=value`` overrides for all runs.
        evaluation: How generation is evaluated: ``steps`` and more; runs that were evaluated otherwise are evaluated
            again.
        store: What it is evaluated on, to see whether that fits the models.

    Raises:
        ConfigError: the config is of another kind, validates on several sets, or cannot be of both orders; they do not
            take so many steps; the store is of another rate or family of bodies; an option sets what the comparison
            sets.
    """
    if taken := [option for option in options if option.partition('=')[0] in _TAKEN]:
        raise ConfigError(f'--cfg-options {taken[0]}: the comparison sets it.')
    runs = []
    for variant, order in ORDERS.items():
        for seed in dict.fromkeys(seeds):
            own = (f'model.codec.order={order}', f'randomness.seed={seed}', *options)
            cfg = load_config(config, parse_options(own))
            if cfg.model.get('type') != 'MotionDiffuser' or not isinstance(cfg.get('val_dataloader'), dict):
                raise ConfigError(f'{config}: found model.type={cfg.model.get("type")!r}, expected a MotionDiffuser, '
                                  'and one val_dataloader.')
            model = build_model(cfg.model)
            lengths = [loader.dataset.get('seq_len', _SEQ_LEN) for loader in (cfg.train_dataloader, cfg.val_dataloader)]
            for length in lengths:
                model.codec.window_frames(length, training=True)
            MotionRollout(model, RolloutOptions(evaluation['steps'], lengths[0]))
            if store is not None and not runs:
                check_motion_source(model.codec, str(store.path), store.fps, store.bodies)
            run = describe_run(str(config), cfg, lengths[0], variant, seed, own)
            run.testing.update({f'evaluation.{key}': value for key, value in evaluation.items()})
            runs.append(run)
    return runs


def last_losses(folder: Path) -> dict[str, float]:
    """Terms of the last validation in a run's log.

    Raises:
        DataError: there is none.
    """
    path = folder / 'logs/scalars.json'
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    rows = [row for row in rows if 'num_samples' in row]
    if not rows:
        raise DataError(path, 'validation', 'none', 'at least one')
    return rows[-1]


def compare(results: Sequence[tuple[Run, Mapping[str, Mapping]]]) -> list[dict]:
    """One row for each line of the table.

    Args:
        results: Runs with ``losses``, and by setting what :meth:`GenerationReport.as_dict` gives.

    Returns:
        Dicts of ``name``, for each variant ``mean``, ``std`` (sample, over seeds; None for one seed) and ``values``,
        ``recorded`` where recordings have such a number, and ``clear``: whether the means are further apart than both
        spreads together (None where that cannot be said).
    """
    rows = []
    for setting, metric, name in ROWS:
        row: dict = {'name': name, 'setting': setting, 'metric': metric, 'recorded': None, 'clear': None}
        for variant in ORDERS:
            values = [_value(found, setting, metric) for run, found in results if run.variant == variant]
            values = [value for value in values if value is not None]
            if values:
                row[variant] = dict(mean=statistics.fmean(values), values=values,
                                    std=statistics.stdev(values) if len(values) > 1 else None)
        if not any(variant in row for variant in ORDERS):
            continue
        sides = [row.get(variant) for variant in ORDERS]
        if all(side is not None and side['std'] is not None for side in sides) and not name.endswith('*'):
            row['clear'] = abs(sides[0]['mean'] - sides[1]['mean']) > sides[0]['std'] + sides[1]['std']
        recorded = [found[setting]['rows'].get('recorded', {}).get(metric) for _, found in results
                    if setting in SETTINGS]
        row['recorded'] = next((value for value in recorded if value is not None), None)
        rows.append(row)
    return rows


def table_cells(row: Mapping) -> list[str]:
    """Name, velocity, acceleration, recordings, and whether they differ, as text."""
    cells = [row['name']]
    for variant in ORDERS:
        side = row.get(variant)
        cells.append('-' if side is None else _number(side['mean']) +
                     ('' if side['std'] is None else f' ± {_number(side["std"])}'))
    cells.append('-' if row['recorded'] is None else _number(row['recorded']))
    return [*cells, {None: '', True: 'yes', False: 'no'}[row['clear']]]


def to_markdown(rows: Sequence[Mapping], runs: Sequence[Run]) -> str:
    """The table with what it is of."""
    header = ['', *ORDERS, 'recordings', 'further apart than the spread']
    seeds = sorted({run.seed for run in runs})
    lines = [header, ['---'] * len(header), *map(table_cells, rows)]
    return '\n'.join(['# Velocity against acceleration', '', f'{Path(runs[0].config).name}, trained on '
                      f'{runs[0].train_set}; mean ± standard deviation over seeds {", ".join(map(str, seeds))}.', '',
                      *(f'| {" | ".join(line)} |' for line in lines), '', NOTE, ''])


def _value(found: Mapping[str, Mapping], setting: str, metric: str) -> float | None:
    if setting == 'losses':
        return found['losses'].get(metric)
    if setting == 'speed':
        return found['realism'].get(metric)
    return found[setting]['rows']['all'].get(metric)


def _number(value: float) -> str:
    return f'{value:.3g}' if abs(value) < 100 else f'{value:.0f}'
