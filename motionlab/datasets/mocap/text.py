"""Text of motion files: decoding and number blocks, with errors that name the line."""

import math

import numpy as np

from motionlab.utils import DataError

# Larger than any length or angle of a recording; beyond it float32 results would lose all meaning.
MAX_VALUE = 1e6


def decode_lines(data: bytes | str, file: object) -> list[str]:
    """Lines of a text file (any line ending); DataError when it is empty or not text."""
    if isinstance(data, bytes):
        try:
            data = data.decode('utf-8-sig')
        except UnicodeDecodeError as error:
            raise DataError(file, f'byte {error.start}', f'byte 0x{error.object[error.start]:02x}', 'UTF-8 text',
                            'The file is binary or damaged; unpack or download it again.') from None
    if '\0' in data:
        raise DataError(file, f'character {data.index(chr(0))}', 'a zero byte', 'text',
                        'The file is binary or damaged; unpack or download it again.')
    if not data.strip():
        raise DataError(file, 'content', 'an empty file', 'text', 'The file was probably cut off; copy it again.')
    # Not str.splitlines, which also breaks at form feeds and Unicode separators.
    return data.replace('\r\n', '\n').replace('\r', '\n').split('\n')


def parse_number(token: str, file: object, field: str) -> float:
    """One finite number of at most :data:`MAX_VALUE`; DataError names ``field`` otherwise."""
    try:
        value = float(token)
    except ValueError:
        raise DataError(file, field, repr(token), 'a number') from None
    if not math.isfinite(value) or abs(value) > MAX_VALUE or '_' in token or not token.isascii():
        raise DataError(file, field, repr(token), f'a finite number, at most {MAX_VALUE:.0e} in size')
    return value


def parse_rows(lines: list[str], line_numbers: list[int], width: int, file: object, what: str) -> np.ndarray:
    """Rows of ``width`` numbers as one float64 array; the first bad line is named.

    Args:
        lines: Non-blank lines.
        line_numbers: Their numbers in the file, for messages.
        width: Numbers in every line.
        file: For messages.
        what: What a row is, for messages (``frame`` or a bone).

    Returns:
        (len(lines), width) float64, all finite.

    Raises:
        DataError: a row of another length, a token that is no number, NaN, infinity or an absurd value.
    """
    try:
        values = np.loadtxt(lines, dtype=np.float64, comments=None, ndmin=2)
    except ValueError:
        values = np.empty((0, 0))  # The loop below finds the line and says what is wrong with it.
    if values.shape == (len(lines), width) and (np.abs(values) <= MAX_VALUE).all():  # False for NaN as well
        return values
    rows = np.empty((len(lines), width))
    for row, (number, line) in enumerate(zip(line_numbers, lines)):
        tokens = line.split()
        if len(tokens) != width:
            raise DataError(file, f'line {number} ({what})', f'{len(tokens)} values', f'{width} values',
                            'A line was cut off or the header tells another number of channels.')
        for column, token in enumerate(tokens):
            rows[row, column] = parse_number(token, file, f'line {number}, value {column + 1} ({what})')
    return rows
