"""Pickles and object arrays of published data sets, read without running anything that they contain.

A pickle is a program: its opcodes may call whatever it can name. Here it can name half a dozen stand-ins and nothing
else, and none of them is a class or function of Python or NumPy: they record what an array is made of, and the arrays
are built after the pickle has ended.
"""

import io
import pickle
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from motionlab.utils import DataError

_KINDS = 'biufcSU'  # Numbers, booleans, text; and 'O', which holds whatever else is allowed.
_READ_ERRORS = (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, IndexError, KeyError,
                ImportError, OverflowError, MemoryError, RecursionError)
_EXPECTED = 'NumPy arrays, dictionaries, lists, tuples, sets, numbers and text'


class Recorded:
    """What an object of a foreign class was pickled as; the class itself is never looked for.

    Args:
        class_path: Module and name of the class.
        state: What it would have been given to restore itself from, mostly a dictionary of its attributes; None where
            the pickle gives nothing.
    """

    def __init__(self, class_path: str, state: object):
        self.class_path, self.state = class_path, state


def load_plain_pickle(path: str | Path, recorded: tuple[str, ...] = ()) -> object:
    """Read a pickle (also one of Python 2) that holds plain data.

    Args:
        path: The ``.pkl`` file.
        recorded: Packages whose objects are not refused but come back as :class:`Recorded`.

    Returns:
        Dictionaries, lists, tuples, sets, numbers, text and NumPy arrays; byte strings of Python 2 become text
        (Latin-1).

    Raises:
        DataError: The file is absent, damaged, or asks for any other class or function (which is then named).
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(path, 'file', 'nothing at this path', 'a pickle')
    with path.open('rb') as stream:
        return _load(stream, path, 'pickle', recorded)


def load_object_npz(path: str | Path, keys: tuple[str, ...]) -> dict[str, object]:
    """Members of an ``.npz`` that :func:`numpy.savez` wrote from dictionaries, as VideoPose3D's are.

    Args:
        path: The archive.
        keys: Members to read.

    Returns:
        By key the object that a member of shape () holds, or the array it is.

    Raises:
        DataError: The file is absent or damaged, a key is missing, or a member holds anything but plain data.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(path, 'file', 'nothing at this path', 'an .npz archive')
    try:
        with zipfile.ZipFile(path) as archive:
            found = [name.removesuffix('.npy') for name in archive.namelist()]
            missing = [key for key in keys if key not in found]
            if missing:
                raise DataError(path, f"key {', '.join(missing)}", f'only {sorted(found)}', 'these keys to be present')
            return {key: _load_npy(io.BytesIO(archive.read(f'{key}.npy')), path, f'key {key}') for key in keys}
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError) as error:
        raise DataError(path, 'archive', f'{type(error).__name__}: {error}', 'a readable .npz archive') from error


def _load_npy(stream: BinaryIO, path: Path, field: str) -> object:
    try:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, _, dtype = read(stream)
        if not dtype.hasobject:
            stream.seek(0)
            array = np.lib.format.read_array(stream, allow_pickle=False)
        else:
            array = _load(stream, path, field)
    except DataError:
        raise
    except _READ_ERRORS as error:
        raise DataError(path, field, f'{type(error).__name__}: {error}', 'an .npy array') from error
    if not isinstance(array, np.ndarray) or array.shape != shape:
        raise DataError(path, field, type(array).__name__, f'an array of shape {shape}')
    return array.item() if array.dtype == object and shape == () else array


def _load(stream: BinaryIO, path: Path, field: str, recorded: tuple[str, ...] = ()) -> object:
    try:
        return _finish(_PlainUnpickler(stream, recorded).load(), {})
    except _READ_ERRORS as error:
        raise DataError(path, field, f'{type(error).__name__}: {error}', _EXPECTED,
                        'Files from elsewhere may run programs when unpickled; this reader refuses to.') from error


class _PlainUnpickler(pickle.Unpickler):
    """Resolves the few names that pickled arrays need, to stand-ins."""

    def __init__(self, stream: BinaryIO, recorded: tuple[str, ...]):
        super().__init__(stream, encoding='latin1')
        self.recorded = recorded
        self.stand_ins: dict[str, type[_Object]] = {}

    def find_class(self, module: str, name: str) -> '_Maker | type[_Object]':
        if any(module == package or module.startswith(f'{package}.') for package in self.recorded):
            # Pickles make objects of classes only.
            path = f'{module}.{name}'
            return self.stand_ins.setdefault(path, type('_Object', (_Object,), {'class_path': path}))
        # NumPy 2 and Python 3 renamed them.
        place = module.replace('numpy.core', 'numpy._core')
        place = {'__builtin__': 'builtins', 'copy_reg': 'copyreg'}.get(place, place)
        if (place, name) not in _MAKERS:
            raise pickle.UnpicklingError(f'{module}.{name} is asked for')
        return _Maker(_MAKERS[place, name])


class _Maker:
    """What a pickle gets for a name: it can be called, and nothing else can be done to it."""

    __slots__ = ('make',)

    def __init__(self, make: Callable):
        self.make = make

    def __call__(self, *args):
        return self.make(*args)

    def __setstate__(self, state):
        raise pickle.UnpicklingError('a function is given a state')


class _Object:
    """A foreign object in the making; :func:`_finish` turns it into a :class:`Recorded`."""

    class_path = ''

    state = None

    def __new__(cls):
        return super().__new__(cls)

    def __setstate__(self, state):
        self.__dict__ = {'state': state}


def _reconstruct(stand_in: object, base: object, state: object) -> _Object:
    """How pickles before protocol 2 make objects."""
    if not (isinstance(stand_in, type) and issubclass(stand_in, _Object)) or state is not None:
        raise pickle.UnpicklingError('an object of another class, or derived from a built-in one')
    return stand_in()


class _DType:
    """A dtype in the making."""

    def __init__(self, text: object, *_flags: object):
        self.dtype = np.dtype(text if isinstance(text, str) else '')
        if self.dtype.kind not in _KINDS + 'O' or self.dtype.fields or self.dtype.subdtype:
            raise pickle.UnpicklingError(f'an array of dtype {text!r}')

    def __setstate__(self, state: tuple):
        # (version, byte order, subarray, names, fields, size, alignment, flags)
        order, *structure = state[1:5]
        if order not in ('<', '>', '|', '=') or any(part is not None for part in structure):
            raise pickle.UnpicklingError('an array of a structured dtype')
        self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """An array in the making; :func:`_finish` builds it."""

    def __init__(self, *_type_shape_code: object):
        self.state = None

    def __setstate__(self, state: tuple):
        _version, shape, dtype, fortran_order, content = state
        self.state = shape, dtype, 'F' if fortran_order else 'C', content


def _array_from_buffer(buffer: bytes, dtype: _DType, shape: tuple, order: str) -> _Array:
    array = _Array()
    array.state = shape, dtype, order, bytes(buffer)
    return array


def _scalar(dtype: _DType, content: bytes | str) -> np.generic:
    return _numbers(dtype, (), 'C', content)[()]


def _encode(text: str, encoding: str) -> bytes:
    """How pickles of protocol 2 write bytes."""
    if encoding != 'latin1':
        raise pickle.UnpicklingError(f'text encoded as {encoding!r}')
    return text.encode('latin1')


def _numbers(dtype: _DType, shape: tuple, order: str, content: bytes | str) -> np.ndarray:
    if not isinstance(dtype, _DType) or dtype.dtype.kind not in _KINDS:
        raise pickle.UnpicklingError('an array without a plain dtype')
    raw = content.encode('latin1') if isinstance(content, str) else content
    if 0 in shape and not raw:
        return np.empty(shape, dtype.dtype)
    return np.frombuffer(bytearray(raw), dtype.dtype).reshape(shape, order=order)


def _objects(shape: tuple, order: str, content: list, done: dict[int, tuple]) -> np.ndarray:
    array = np.empty(len(content), dtype=object)
    for i, item in enumerate(content):
        array[i] = _finish(item, done)
    return array.reshape(shape, order=order)


def _finish(value: object, done: dict[int, tuple]) -> object:
    """``value`` with every array in the making replaced; ``done`` keeps what occurs several times one object."""
    if id(value) in done:
        return done[id(value)][1]
    if isinstance(value, _Array):
        if value.state is None:
            raise pickle.UnpicklingError('an array without content')
        shape, dtype, order, content = value.state
        if isinstance(dtype, _DType) and dtype.dtype.kind == 'O' and isinstance(content, list):
            result = _objects(shape, order, content, done)
        else:
            result = _numbers(dtype, shape, order, content)
    elif isinstance(value, dict):
        result = {_finish(key, done): _finish(item, done) for key, item in value.items()}
    elif isinstance(value, list | tuple | set | frozenset):
        result = type(value)(_finish(item, done) for item in value)
    elif isinstance(value, _Object):
        result = Recorded(value.class_path, _finish(value.state, done))
    elif value is None or isinstance(value, bool | int | float | complex | str | bytes | bytearray | np.generic):
        return value
    else:
        raise pickle.UnpicklingError(f'a {type(value).__name__} where data should be')
    done[id(value)] = value, result  # Keeping the original alive keeps its id its own.
    return result


_MAKERS: dict[tuple[str, str], Callable] = {
    ('numpy._core.multiarray', '_reconstruct'): _Array,
    ('numpy._core.multiarray', 'scalar'): _scalar,
    ('numpy._core.numeric', '_frombuffer'): _array_from_buffer,
    ('numpy', 'dtype'): _DType,
    ('numpy', 'ndarray'): _Array,  # Named as the type of an array; the stand-in for one, should it be called.
    ('_codecs', 'encode'): _encode,
    ('collections', 'OrderedDict'): OrderedDict,
    ('copyreg', '_reconstructor'): _reconstruct,
    ('builtins', 'object'): lambda: None,  # Named as a base class, never made.
    # Before protocol 4 these are written as calls.
    ('builtins', 'set'): set,
    ('builtins', 'frozenset'): frozenset,
    ('builtins', 'bytes'): lambda: b'',  # Of no bytes; others have an opcode or are encoded text.
}
