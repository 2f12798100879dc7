"""Chosen arrays of an ``.npz`` archive that somebody else wrote, without unpickling anything."""

import lzma
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from motionlab.utils.errors import DataError

# What zipfile and numpy raise over damaged archives and headers.
READ_ERRORS = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, TypeError, IndexError,
               SyntaxError, tokenize.TokenError, KeyError, OverflowError, struct.error, NotImplementedError,
               RuntimeError, MemoryError, AttributeError)


def read_npz_arrays(path: str | Path, required: Iterable[str], optional: Iterable[str] = (),
                    hint: str = '') -> dict[str, np.ndarray]:
    """Arrays by key; members that are not asked for are not touched, so they may hold pickled objects.

    Args:
        path: The archive, plain or compressed.
        required: Keys that must be there.
        optional: Keys that are read where present.
        hint: What the user can do about a missing key or a pickled member.

    Raises:
        DataError: The file is absent, truncated, damaged or no archive; a required key is missing; a member that is
            asked for is damaged (checksums are compared), no array, or pickled.
    """
    path, required = Path(path), list(required)
    if not path.is_file():
        raise DataError(path, 'file', 'nothing at this path', 'an .npz archive')
    try:
        archive = zipfile.ZipFile(path)
    except READ_ERRORS as error:
        raise DataError(path, 'archive', f'{type(error).__name__}: {error}', 'a zip archive of .npy members (.npz)',
                        f'It is truncated, damaged or another kind of file. {hint}'.rstrip()) from error
    with archive:
        present = {name.removesuffix('.npy') for name in archive.namelist() if name.endswith('.npy')}
        missing = [key for key in required if key not in present]
        if missing:
            raise DataError(path, f"key {', '.join(missing)}", f'only {sorted(present)}', 'these keys to be present',
                            hint)
        return {key: _read_member(path, archive, key, hint)
                for key in [*required, *(key for key in optional if key in present)]}


def _read_member(path: Path, archive: zipfile.ZipFile, key: str, hint: str) -> np.ndarray:
    try:
        with archive.open(f'{key}.npy') as stream:
            array = np.lib.format.read_array(stream, allow_pickle=False)
            # Only at its end is a member's checksum compared.
            if stream.read(1):
                raise ValueError(f'data goes on behind the array of shape {array.shape}, {array.dtype}')
    except READ_ERRORS as error:
        raise DataError(path, f'key {key}', f'{type(error).__name__}: {error}', 'a readable array without objects',
                        hint) from error
    return array
