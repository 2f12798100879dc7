"""Read back the ``logs/scalars.json`` of a work dir as curves."""

import json
import math
from pathlib import Path

from motionlab.utils import DataError

_NOT_A_CURVE = ('step', 'iter', 'epoch')

Curve = dict[int, float]


def find_scalars(path: str | Path) -> Path:
    """The scalar log that ``path`` is or, for a work dir, holds.

    Raises:
        DataError: there is none.
    """
    path = Path(path)
    if path.is_file():
        return path
    # MMEngine's own layout is accepted too, the newest run of it.
    found = [path / 'logs' / 'scalars.json', *sorted(path.glob('*/vis_data/scalars.json'), reverse=True)]
    for candidate in found:
        if candidate.is_file():
            return candidate
    raise DataError(path, 'scalar log', 'nothing', 'logs/scalars.json', 'Give a work dir or a scalars.json file.')


def read_records(path: str | Path) -> list[dict]:
    """All lines of a scalar log, oldest first.

    Raises:
        DataError: a line that is not a JSON object (a last line cut off by a crash is left out).
    """
    file = find_scalars(path)
    lines = file.read_text(encoding='utf-8').split('\n')
    records = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines):  # No line break at its end: the writer was killed.
                break
            raise DataError(file, f'line {number}', f'{line[:60]!r}', 'a JSON object', str(error)) from error
        if not isinstance(record, dict):
            raise DataError(file, f'line {number}', type(record).__name__, 'a JSON object')
        records.append(record)
    return records


def read_curves(path: str | Path) -> dict[str, Curve]:
    """Every logged number as ``{name: {step: value}}``; a step logged twice keeps the later value, null is NaN.

    Raises:
        DataError: see :func:`read_records`.
    """
    curves: dict[str, Curve] = {}
    for record in read_records(path):
        step = int(record.get('step', record.get('iter', 0)))
        for name, value in record.items():
            if name not in _NOT_A_CURVE and (value is None or isinstance(value, int | float)):
                curves.setdefault(name, {})[step] = math.nan if value is None else float(value)
    return curves
