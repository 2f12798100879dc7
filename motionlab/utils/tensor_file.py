"""Reading the tensors of files that others wrote, without running what they pickled."""

import _compat_pickle
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors.torch import load_file

from motionlab.utils.errors import CheckpointError

_PICKLE, _ZIP = b'\x80', b'PK'  # First bytes.
_LEGACY_PICKLES = 5  # Magic number, protocol version, system information, the object, storage keys.
# What torch lets a file fill item by item.
_FILLED = {'SETITEM': OrderedDict, 'SETITEMS': OrderedDict, 'APPEND': list, 'APPENDS': list}
_GIVES_OWNER = {'REDUCE', 'NEWOBJ', 'BUILD', *_FILLED}  # Op codes whose result belongs to what lay deepest.


class Inert:
    """Stands where a file asks for a class or function: takes whatever is done to it and does nothing."""

    def __new__(cls, *_args):
        return super().__new__(cls)

    def __init__(self, *_args):
        pass

    def __setstate__(self, _state):
        pass


def read_tensor_file(path: str | Path) -> object:
    """Load a ``.safetensors`` file or anything ``torch.save`` wrote (zip or the legacy format), on the CPU.

    Nothing in the file is executed. It is read with ``weights_only=True``; every class or function that torch does not
    rebuild by itself (the random-number state in VideoPose3D's files, the callbacks and settings in Lightning's, ...)
    becomes an :class:`Inert` object, or a plain dict or list where the file puts items into it.

    Raises:
        CheckpointError: there is no such file, it is of no such format, it is cut off or a checksum is wrong (a zip
            file has them, the legacy format none), or it names a module that torch refuses in any case (``os``,
            ``sys``, ``posix``, ``nt``).
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f'{path}: found no file, expected weights written by torch.save or safetensors.')
    try:
        if path.suffix == '.safetensors':
            return load_file(path)
        if zipfile.is_zipfile(path) and not is_whole_zip(path):  # torch.load does not look at the checksums.
            raise CheckpointError('a checksum is wrong')
        # Names that torch rebuilds itself come first in its own look-up: standing in for them changes nothing.
        stand_ins = [_stand_in(*name, filled) for name, filled in sorted(_names_asked_for(path).items())]
        with torch.serialization.safe_globals(stand_ins):
            return torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # Files that are cut off, or none of this, end in a dozen different types.
        raise CheckpointError(f'{path}: cannot be read as a file of torch.save or safetensors: {_reason(error)}'
                              ) from error


def _reason(error: Exception) -> str:
    """What is wrong, in one line."""
    # torch wraps the cause in advice to switch its safe mode off.
    cause = error.__context__ if isinstance(error, pickle.UnpicklingError) and error.__context__ else error
    return str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__


def is_whole_zip(path: str | Path) -> bool:
    """Whether a zip archive's directory (at its end) and all checksums are right."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError):
        return False


def _stand_in(module: str, name: str, filled: type) -> type:
    members = {'__module__': module, '__qualname__': name}
    if filled is not Inert:  # torch fills nothing but plain containers.
        members['__new__'] = lambda _cls, *_args: filled()
    return type(name, (Inert,), members)


def _names_asked_for(path: Path) -> dict[tuple[str, str], type]:
    """(module, name) of every class or function in the pickles of a file -> what stands in for its objects."""
    names: dict[tuple[str, str], type] = {}
    with _open_pickle(path) as (stream, count):
        for _ in range(count):
            _read_names(stream, names)
    return names


def _read_names(stream: BinaryIO, names: dict[tuple[str, str], type]) -> None:
    """Add the names of one pickle, found by following its op codes: nothing is built, only whose object lies where."""
    stack: list[tuple[str, str] | None] = []
    memo: dict[int, tuple[str, str] | None] = {}
    marks: list[int] = []
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name == 'GLOBAL':
            name = _python3_name(*argument.split(' ', 1))
            names.setdefault(name, Inert)
            stack.append(name)
        elif opcode.name == 'MARK':
            marks.append(len(stack))
        elif 'PUT' in opcode.name:
            memo[argument] = stack[-1]
        elif 'GET' in opcode.name:
            stack.append(memo[argument])
        else:
            before = opcode.stack_before
            marked = pickletools.markobject in before
            start = marks.pop() - before.index(pickletools.markobject) if marked else len(stack) - len(before)
            owner = stack[start] if len(stack) > start else None
            del stack[start:]
            if opcode.name in _FILLED and owner is not None:
                names[owner] = _FILLED[opcode.name]
            stack += [owner if opcode.name in _GIVES_OWNER else None] * len(opcode.stack_after)


@contextmanager
def _open_pickle(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """The stream that holds the pickles, and how many there are in a row."""
    if not zipfile.is_zipfile(path):
        with open(path, 'rb') as stream:
            first = stream.read(2)
            if first[:1] != _PICKLE:
                raise CheckpointError('the end of a zip file is missing' if first == _ZIP else
                                      'it is neither a zip file nor a pickle')
            stream.seek(0)
            yield stream, _LEGACY_PICKLES
        return
    with zipfile.ZipFile(path) as archive:
        member = next((name for name in archive.namelist() if name.endswith('/data.pkl')), None)
        if member is None:
            raise CheckpointError('a zip file without data.pkl')
        with archive.open(member) as stream:
            yield stream, 1


def _python3_name(module: str, name: str) -> tuple[str, str]:
    """Pickles of protocol 2 hold Python 2 names."""
    if (module, name) in _compat_pickle.NAME_MAPPING:
        return _compat_pickle.NAME_MAPPING[module, name]
    return _compat_pickle.IMPORT_MAPPING.get(module, module), name
