"""Array files on disk, mapped into memory in place, so that every worker and every rank shares one copy.

A member of an ``.npz`` written by :func:`numpy.savez` lies uncompressed in the archive: its numbers can be mapped where
they are. Nothing here ever unpickles.
"""

import io
import logging
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from motionlab.utils import DataError
from motionlab.utils.array_file import READ_ERRORS

_LOCAL_HEADER = struct.Struct('<4s5H3I2H')  # PKWARE appnote 4.3.7: local file header
_END_RECORD = struct.Struct('<4s4H2IH')     # 4.3.16: end of central directory record
_REWRITE = 'Write the file again; it is truncated or damaged.'


def open_npz(path: str | Path, verify: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """Map the arrays of an ``.npz`` archive, or of a folder of ``.npy`` files, into memory.

    Every array is C-contiguous; mapped ones are read-only. Members that cannot be mapped (compressed, or in Fortran
    order) are loaded, with a warning that says how to rewrite the file. A mapped member may start at any byte, so its
    numbers may be unaligned: gather rows with :func:`take_rows`, which does not care.

    Args:
        path: The archive or folder.
        verify: Members whose checksum is compared with the archive's (about 0.3 s per GB); None for all of them, an
            empty collection for none. A folder of ``.npy`` files holds no checksums.

    Returns:
        Array by key (member name without ``.npy``).

    Raises:
        DataError: The file is absent, truncated, damaged or no archive; a member is not an array, holds objects, or
            its size contradicts its header.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(path.glob('*.npy'))
        if not files:
            raise DataError(path, 'folder', 'no .npy file', 'one .npy file per key')
        return {file.stem: _parse_npy(file, file.stem, _map_file(file)) for file in files}
    if not path.is_file():
        raise DataError(path, 'file', 'nothing at this path', 'an .npz archive or a folder of .npy files',
                        'Check data_root and ann_file, or make the file with tools/dataset_converters.')
    content = _map_file(path)
    with _open_zip(path) as archive:
        _check_count(path, archive, content)
        arrays: dict[str, np.ndarray] = {}
        for member in archive.infolist():
            key = member.filename.removesuffix('.npy')
            if key == member.filename or key in arrays:
                raise DataError(path, f'member {member.filename!r}', 'no .npy name, or one that occurs twice',
                                'distinct names ending in .npy', _REWRITE)
            payload = _member_bytes(path, archive, member, content, checked=verify is None or key in verify)
            arrays[key] = _parse_npy(path, key, payload)
    return arrays


def open_npy(path: str | Path) -> np.ndarray:
    """Map one ``.npy`` file into memory, read-only and C-contiguous, with the checks of :func:`open_npz`.

    Raises:
        DataError: The file is absent, truncated, damaged, or holds objects.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(path, 'file', 'nothing at this path', 'a .npy file')
    return _parse_npy(path, path.stem, _map_file(path))


def require_keys(path: str | Path, arrays: dict[str, np.ndarray], keys: Iterable[str], hint: str = '') -> None:
    """Raise :class:`DataError` naming every key of ``keys`` that ``arrays`` lacks."""
    missing = [key for key in keys if key not in arrays]
    if missing:
        raise DataError(path, f"key {', '.join(missing)}", f'only {sorted(arrays)}', 'these keys to be present', hint)


def take_rows(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows of a C-contiguous array as a new, aligned array of shape ``rows.shape + array.shape[1:]``.

    Rows travel as bytes: numpy would first copy the *whole* of an unaligned array (seen in 2.4), and bytes are twice
    as fast for aligned ones too.
    """
    if array.size == 0:
        return array[rows]
    as_bytes = array.view(np.ndarray).reshape(len(array), -1).view(np.uint8)
    return np.take(as_bytes, rows.ravel(), axis=0).view(array.dtype).reshape(*rows.shape, *array.shape[1:])


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except READ_ERRORS as error:
        raise DataError(path, 'archive', f'{type(error).__name__}: {error}', 'a zip archive of .npy members (.npz)',
                        _REWRITE) from error


def _check_count(path: Path, archive: zipfile.ZipFile, content: np.ndarray) -> None:
    """A damaged length in the table of contents can swallow members without any complaint of :mod:`zipfile`."""
    end = len(content) - len(archive.comment)
    *_, promised, _, _, _ = _END_RECORD.unpack(content[end - _END_RECORD.size:end].tobytes())
    if len(archive.infolist()) != promised:
        raise DataError(path, 'table of contents', f'{len(archive.infolist())} members', promised, _REWRITE)


def _map_file(path: Path) -> np.ndarray:
    """(bytes,) uint8 view of a whole file."""
    try:
        return np.memmap(path, dtype=np.uint8, mode='r')
    except READ_ERRORS as error:  # An empty file cannot be mapped.
        raise DataError(path, 'file', f'{path.stat().st_size} bytes ({error})', 'a readable array file',
                        _REWRITE) from error


def _member_bytes(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, content: np.ndarray,
                  checked: bool) -> np.ndarray:
    """(bytes,) uint8 of one member: a view of the mapped file where stored, decompressed otherwise."""
    field = f'member {member.filename!r}'
    if member.compress_type != zipfile.ZIP_STORED:
        print_log(f'{path}: {field} is compressed and is loaded into memory, once per process. Rewrite the file with '
                  'np.savez (not savez_compressed) to share it between processes.', 'current', logging.WARNING)
        try:
            return np.frombuffer(archive.read(member), dtype=np.uint8)
        except READ_ERRORS as error:
            raise DataError(path, field, f'{type(error).__name__}: {error}', 'readable compressed data',
                            _REWRITE) from error
    start = member.header_offset
    header = content[start:start + _LOCAL_HEADER.size].tobytes() if start >= 0 else b''
    if len(header) < _LOCAL_HEADER.size or not header.startswith(b'PK\x03\x04'):
        raise DataError(path, field, f'no local header at byte {start}', 'a zip local file header', _REWRITE)
    _, _, flags, method, *_, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    start += _LOCAL_HEADER.size
    name = content[start:start + name_length].tobytes()
    start += name_length + extra_length
    if flags & 1 or method != zipfile.ZIP_STORED or name != member.orig_filename.encode():
        raise DataError(path, field, f'a local header of {name!r}, method {method}, flags {flags:#x}',
                        'the same plain stored member as in the table of contents', _REWRITE)
    data = content[start:start + member.file_size]
    if len(data) != member.file_size or member.compress_size != member.file_size:
        raise DataError(path, field, f'{len(data)} bytes (packed size {member.compress_size})',
                        f'{member.file_size} bytes', _REWRITE)
    if checked and zlib.crc32(data) != member.CRC:
        raise DataError(path, field, f'checksum {zlib.crc32(data):#010x}', f'checksum {member.CRC:#010x}', _REWRITE)
    return data


def _parse_npy(path: Path, key: str, data: np.ndarray) -> np.ndarray:
    """The array that the bytes of an ``.npy`` file hold, as a view of them."""
    stream = io.BytesIO(data[:16384].tobytes())
    try:
        version = np.lib.format.read_magic(stream)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in read_header:
            raise ValueError(f'npy format version {version}')
        shape, fortran_order, dtype = read_header[version](stream)
    except READ_ERRORS as error:
        raise DataError(path, f'key {key}', f'{type(error).__name__}: {error}', 'a plain .npy array (format 1 or 2)',
                        _REWRITE) from error
    if dtype.hasobject or dtype.names or not dtype.itemsize:
        raise DataError(path, f'key {key}', f'dtype {dtype}', 'numbers, booleans or fixed-length text',
                        'Pickled objects are never read; convert them to plain arrays first.')
    numbers = data[stream.tell():]
    size = dtype.itemsize
    for length in shape:
        size *= length  # Python integers: a damaged shape must not overflow.
    if min(shape, default=0) < 0 or size != len(numbers):
        raise DataError(path, f'key {key}', f'{len(numbers)} bytes of data', f'{size} for {dtype} of shape {shape}',
                        _REWRITE)
    if size == 0:
        return np.empty(shape, dtype)
    if fortran_order and len(shape) > 1:
        print_log(f'{path}: key {key} is stored in Fortran order and is loaded into memory, once per process. Rewrite '
                  'it as np.ascontiguousarray(array) to share it between processes.', 'current', logging.WARNING)
        return np.ascontiguousarray(numbers.view(dtype).reshape(shape[::-1]).T)
    return numbers.view(dtype).reshape(shape)

