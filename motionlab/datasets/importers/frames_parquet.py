"""Tables of single steps: ``episode, frame_image, action`` and, in older recordings, ``next_frame_image, done``.

The pictures of these tables are those of pygame: arrays (width, height, 3), saved as if they were (height, width, 3).
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from motionlab.datasets.importers.frames_episodes import (
    EpisodeBorders,
    RawEpisode,
    action_array,
    decode_picture,
    natural_files,
)
from motionlab.utils import DataError, need_package

_NEEDED = ('episode', 'frame_image', 'action')
_OPTIONAL = ('next_frame_image', 'done')
_ROWS = 64  # Read at a time: pictures are large.


def read_parquet_episodes(src: Path, counts: dict[str, int]) -> Iterator[RawEpisode]:
    """Episodes of one table, or of all tables of a folder in natural order, which are one table in pieces.

    Args:
        src: ``.parquet`` file or folder.
        counts: Told what is missing or does not fit.

    Raises:
        DataError: a column is missing, a cell is empty or of a wrong type, episodes are out of order.
        ConfigError: pyarrow is not installed.
    """
    for path in natural_files(src, ('.parquet',)):
        _check_columns(path)
    rows: list[dict] = []
    borders = EpisodeBorders(src)
    for number, row in enumerate(_rows(src)):
        done = row.get('done')
        if borders.begins(number, row['episode'], False if done is None else done) and rows:
            yield _episode(src, rows, number - len(rows), counts)
            rows = []
        rows.append(row)
    if not rows:
        raise DataError(src, 'rows', 'none', 'at least one')
    yield _episode(src, rows, number + 1 - len(rows), counts)


def _check_columns(path: Path) -> None:
    parquet = need_package('pyarrow.parquet', 'tables')
    try:
        names = parquet.ParquetFile(path).schema_arrow.names
    except (OSError, ValueError) as error:
        raise DataError(path, 'table', f'{type(error).__name__}: {error}', 'a parquet file') from error
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        raise DataError(path, f'column {", ".join(missing)}', f'only {sorted(names)}', f'{", ".join(_NEEDED)}')


def _rows(src: Path) -> Iterator[dict]:
    parquet = need_package('pyarrow.parquet', 'tables')
    number = 0
    for path in natural_files(src, ('.parquet',)):
        table = parquet.ParquetFile(path)
        columns = [name for name in (*_NEEDED, *_OPTIONAL) if name in table.schema_arrow.names]
        try:
            for batch in table.iter_batches(_ROWS, columns=columns):
                for row in batch.to_pylist():
                    for name in _NEEDED:
                        if row[name] is None:
                            raise DataError(path, f'row {number}: {name}', 'nothing', 'a value')
                    number += 1
                    yield row
        except (OSError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(path, f'row {number}', f'{type(error).__name__}: {error}', 'readable rows') from error


def _episode(src: Path, rows: list[dict], first_row: int, counts: dict[str, int]) -> RawEpisode:
    name = str(rows[0]['episode'])
    actions = action_array(src, name, first_row, (row['action'] for row in rows))
    pictures = [row['frame_image'] for row in rows]
    after = rows[-1].get('next_frame_image')
    done = bool(rows[-1].get('done'))
    jumps = sum(row.get('next_frame_image') is not None and row['next_frame_image'] != picture
                for row, picture in zip(rows, pictures[1:]))
    if jumps:
        counts['rows whose next_frame_image is not the frame of the next row'] = \
            counts.get('rows whose next_frame_image is not the frame of the next row', 0) + jumps
    if after is not None:
        pictures.append(after)
    elif done:
        counts['terminal frames that the recording lacks'] = counts.get('terminal frames that the recording lacks',
                                                                        0) + 1

    def read() -> Iterator[np.ndarray]:
        for number, picture in enumerate(pictures):
            yield _picture(src, f'episode {name}, row {first_row + number}', picture)

    return RawEpisode(name, src, first_row, actions,
                      'terminated' if done and after is not None else 'cut', read, len(pictures))


def _picture(src: Path, place: str, cell: object) -> np.ndarray:
    """A cell may hold an encoded picture, alone or as {bytes, path}, or nested lists of numbers."""
    if isinstance(cell, dict):
        cell = cell.get('bytes')
    if isinstance(cell, bytes):
        return decode_picture(src, place, cell)
    try:
        array = np.array(cell)
        fits = array.ndim == 3 and array.dtype.kind in 'iu' and array.size and 0 <= array.min() <= array.max() <= 255
    except ValueError:
        fits = False
    if not fits:
        raise DataError(src, f'{place}: frame', type(cell).__name__, 'an encoded picture, or numbers 0 to 255 as lists '
                        'of lists of lists')
    return array.astype(np.uint8)
