"""Writing npz files piece by piece, so that no array has to fit into memory.

Members are uncompressed and start at multiples of 64 bytes: they can be memory-mapped where they lie.
"""

import struct
import zipfile
from collections.abc import Iterable

import numpy as np


def write_member(archive: zipfile.ZipFile, key: str, dtype: np.dtype, shape: tuple[int, ...],
                 pieces: Iterable[np.ndarray]) -> None:
    """Stream one array into an npz that was opened with ``ZIP_STORED``.

    Args:
        archive: Open for writing.
        key: Name of the array.
        dtype: Of the whole array; pieces are cast to it.
        shape: Of the whole array.
        pieces: Consecutive stretches along the first axis.
    """
    info = zipfile.ZipInfo(f'{key}.npy')
    # Local header: 30 bytes, the name, our padding field (4 + n bytes) and the 64-bit size field (20 bytes).
    used = archive.fp.tell() + 30 + len(info.filename) + 4 + 20
    padding = -used % 64
    info.extra = struct.pack('<HH', 0x4D4C, padding) + bytes(padding)
    with archive.open(info, 'w', force_zip64=True) as file:
        header = {'descr': np.lib.format.dtype_to_descr(dtype), 'fortran_order': False, 'shape': shape}
        np.lib.format.write_array_header_1_0(file, header)
        for piece in pieces:
            file.write(np.ascontiguousarray(piece, dtype).tobytes())
