"""Single arrays of an ``.npz``: of every other member not a byte is decompressed, and nothing is ever unpickled."""

import hashlib
import zipfile
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from motionlab.utils import DataError
from motionlab.utils.array_file import READ_ERRORS

_HINT = 'Unpack or download the file again; it is truncated or damaged.'
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class MotionArchive:
    """An open ``.npz``; a context manager.

    Args:
        path: The archive.

    Raises:
        DataError: the file is no readable zip archive, or two members have one name.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except READ_ERRORS as error:
            raise DataError(path, 'archive', f'{type(error).__name__}: {error}', 'a zip archive of arrays (.npz)',
                            _HINT) from error
        self._members = {member.filename.removesuffix('.npy'): member for member in self._zip.infolist()}
        if len(self._members) != len(self._zip.infolist()):
            self._zip.close()
            raise DataError(path, 'archive', 'two members of one name', 'distinct names', _HINT)

    def __enter__(self) -> 'MotionArchive':
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._zip.close()

    def __contains__(self, key: str) -> bool:
        return key in self._members

    def fingerprint(self) -> str:
        """32 hex digits over names, sizes and checksums of all members: what a copy of the file has in common."""
        facts = sorted((key, member.file_size, member.CRC) for key, member in self._members.items())
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]

    def header(self, key: str) -> tuple[tuple[int, ...], np.dtype]:
        """Shape and dtype of a member, from its first bytes.

        Raises:
            DataError: it is no array, holds objects, or its size contradicts its header.
        """
        try:
            with self._zip.open(self._members[key]) as stream:
                shape, _, dtype = self._parse_header(key, stream)
        except READ_ERRORS as error:
            raise self._unreadable(key, error) from error
        return shape, dtype

    def read(self, key: str) -> np.ndarray:
        """The array of a member.

        Raises:
            DataError: as of :meth:`header`, or its data is truncated or fails its checksum.
        """
        try:
            with self._zip.open(self._members[key]) as stream:
                shape, fortran_order, dtype = self._parse_header(key, stream)
                numbers = np.frombuffer(stream.read(), dtype)  # (shape[0] * shape[1] * ...,)
                return numbers.reshape(shape, order='F' if fortran_order else 'C')
        except READ_ERRORS as error:
            raise self._unreadable(key, error) from error

    def _parse_header(self, key: str, stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
        version = np.lib.format.read_magic(stream)
        if version not in _HEADERS:
            raise ValueError(f'npy format version {version}')
        shape, fortran_order, dtype = _HEADERS[version](stream)
        if dtype.hasobject:
            raise DataError(self.path, f'{key}: dtype', 'pickled objects', 'numbers or text',
                            'Pickled objects are never read.')
        size = dtype.itemsize
        for length in shape:
            size *= length  # Python integers: a damaged shape must not overflow.
        held = self._members[key].file_size - stream.tell()
        if min(shape, default=0) < 0 or size != held:
            raise DataError(self.path, f'{key}: size', f'{held} bytes', f'{size} for {dtype} of shape {shape}', _HINT)
        return shape, fortran_order, dtype

    def _unreadable(self, key: str, error: Exception) -> DataError:
        if isinstance(error, DataError):
            return error
        return DataError(self.path, f'{key}: content', f'{type(error).__name__}: {error}', 'a readable array', _HINT)
