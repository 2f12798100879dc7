"""Body models as their vendor hands them out (``.pkl``) to the ``.npz`` that the body layer reads.

SMPL, SMPL-H and SMPL-X pickles hold arrays inside objects of chumpy and scipy, written by Python 2. Neither chumpy nor
anything else that a pickle names is imported or run: objects are recorded, and the few kinds that wrap an array are
opened here.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from motionlab.body.body_file import read_body_file
from motionlab.datasets.importers.plain_pickle import Recorded, load_plain_pickle
from motionlab.datasets.npz_writer import write_member
from motionlab.utils import DataError

_FOREIGN = ('chumpy', 'scipy.sparse')
_REQUIRED = ('v_template', 'f', 'shapedirs', 'posedirs', 'J_regressor', 'weights', 'kintree_table')
_HANDS = ('components', 'mean', 'coeffs')
_OPTIONAL = tuple(f'hands_{part}{side}' for part in _HANDS for side in 'lr') + (
    'lmk_faces_idx', 'lmk_bary_coords', 'dynamic_lmk_faces_idx', 'dynamic_lmk_bary_coords', 'vt', 'ft')
_WHOLE = ('f', 'kintree_table', 'lmk_faces_idx', 'dynamic_lmk_faces_idx', 'ft')
_MOST_NUMBERS = 200_000_000  # Twelve times a SMPL-X posedirs: larger claims are damage or malice.
_GENDERS = {'f': 'female', 'm': 'male', 'n': 'neutral', 'female': 'female', 'male': 'male', 'neutral': 'neutral'}


@dataclass(frozen=True)
class ConvertedBody:
    """What became of a body pickle.

    Args:
        description: The body as the body layer describes it.
        written: Keys of the ``.npz``.
        ignored: Keys of the pickle that nothing here needs.
    """

    description: str
    written: tuple[str, ...]
    ignored: tuple[str, ...]


def convert_body_pickle(source: str | Path, destination: str | Path, *, left_hand: str | Path | None = None,
                        right_hand: str | Path | None = None, gender: str | None = None, version: str | None = None,
                        ) -> ConvertedBody:
    """Write a vendor's body pickle as ``.npz``; numbers stay as they are, sparse matrices become dense.

    Args:
        source: ``.pkl`` of SMPL, SMPL-H or SMPL-X.
        destination: ``.npz`` to write; one that exists is replaced once the new one is complete.
        left_hand: ``MANO_LEFT.pkl``, whose mean pose and components an SMPL-H body is to hold.
        right_hand: ``MANO_RIGHT.pkl``; both or neither.
        gender: ``'female'``, ``'male'`` or ``'neutral'``; told by the file's name unless given.
        version: Tag that is stored with the body, such as ``'v1.1'``.

    Raises:
        DataError: A file is absent, damaged, asks for anything but plain data, chumpy and scipy objects, or is no such
            body; hands are given for another family.
    """
    source, destination = Path(source), Path(destination)
    content = _load_dictionary(source)
    missing = [key for key in _REQUIRED if key not in content]
    if missing:
        raise DataError(source, f"key {', '.join(missing)}", f'only {sorted(map(str, content))}',
                        'these keys to be present', _hint(content))
    arrays = {key: _array(source, key, content[key]) for key in (*_REQUIRED, *_OPTIONAL) if key in content}
    if left_hand is not None or right_hand is not None:
        arrays |= _hands(source, arrays, left_hand, right_hand)
    words = source.stem.lower().replace('-', '_').split('_')
    gender = gender or next((_GENDERS[word] for word in words if word in _GENDERS), None)
    texts = {'gender': gender, 'version': version}
    arrays |= {key: np.array(text) for key, text in texts.items() if text is not None}
    description = _write_checked(source, destination, arrays)
    return ConvertedBody(description, tuple(arrays), tuple(sorted(str(key) for key in content if key not in arrays)))


def _load_dictionary(path: Path) -> dict:
    content = load_plain_pickle(path, recorded=_FOREIGN)
    if not isinstance(content, dict):
        raise DataError(path, 'pickle', type(content).__name__, 'a dictionary of arrays')
    return content


def _hint(content: dict) -> str:
    if 'hands_components' in content:
        return 'This is a hand (MANO): pass it beside an SMPL-H body.'
    return ''


def _hands(source: Path, arrays: dict[str, np.ndarray], left: str | Path | None, right: str | Path | None,
           ) -> dict[str, np.ndarray]:
    if left is None or right is None:
        raise DataError(source, 'hands', 'one MANO file', 'both, left and right, or neither')
    if arrays['J_regressor'].shape[0] != 52:
        raise DataError(source, 'J_regressor', f'shape {arrays["J_regressor"].shape}', '52 joints (SMPL-H)',
                        'Hands are merged into SMPL-H bodies only; SMPL-X holds its own, SMPL has none.')
    merged = {}
    for path, side in ((Path(left), 'l'), (Path(right), 'r')):
        content = _load_dictionary(path)
        for part, shape in (('components', (45, 45)), ('mean', (45,)), ('coeffs', (None, 45))):
            key = f'hands_{part}'
            if key not in content:
                raise DataError(path, f'key {key}', f'only {sorted(map(str, content))}', 'a MANO file')
            found = _array(path, key, content[key])
            if found.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, found.shape)):
                raise DataError(path, key, f'shape {found.shape}', f'shape {shape}')
            merged[f'{key}{side}'] = found
    return merged


def _array(path: Path, key: str, value: object) -> np.ndarray:
    """The numbers behind a value of the pickle."""
    try:
        array = _numbers(value)
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, MemoryError, RecursionError) as error:
        raise DataError(path, f'key {key}', f'{type(error).__name__}: {error}', 'an array',
                        'Only arrays, chumpy.ch.Ch, Select and Reshape of them, and csc or csr matrices are opened.',
                        ) from error
    if array.dtype.kind not in 'iuf':
        raise DataError(path, f'key {key}', f'dtype {array.dtype}', 'numbers')
    if key in _WHOLE and array.dtype.kind == 'f':
        if not (np.isfinite(array).all() and (array == np.floor(array)).all() and np.abs(array).max(initial=0) < 2**53):
            raise DataError(path, f'key {key}', 'numbers that are not whole', 'vertex or joint indices')
        array = array.astype(np.int64)
    return np.ascontiguousarray(array)


def _numbers(value: object) -> np.ndarray:
    if isinstance(value, np.ndarray):
        return value
    if not isinstance(value, Recorded):
        raise TypeError(f'a {type(value).__name__}')
    state = value.state
    if not isinstance(state, dict):
        raise TypeError(f'a {value.class_path} without attributes')
    name = value.class_path.rpartition('.')[2]
    if value.class_path == 'chumpy.ch.Ch':
        return _numbers(state['x'])
    if value.class_path == 'chumpy.reordering.Select':
        inner, index = _numbers(state['a']).ravel(), _numbers(state['idxs'])
        if index.dtype.kind not in 'iu' or (index.size and not 0 <= index.min() <= index.max() < inner.size):
            raise ValueError(f'a Select of indices outside its {inner.size} numbers')
        return inner[index].reshape(state.get('preferred_shape', (-1,)))
    if value.class_path == 'chumpy.reordering.Reshape':
        return _numbers(state['a']).reshape(state['newshape'])
    if value.class_path.startswith('scipy.sparse.') and name in ('csc_matrix', 'csr_matrix', 'csc_array', 'csr_array'):
        return _dense(name[:3], state)
    raise TypeError(f'a {value.class_path}')


def _dense(layout: str, state: dict) -> np.ndarray:
    from scipy.sparse import csc_array, csr_array
    shape = tuple(int(size) for size in (state['_shape'] if '_shape' in state else state['shape']))
    if len(shape) != 2 or min(shape) < 0 or shape[0] * shape[1] > _MOST_NUMBERS:
        raise ValueError(f'a sparse matrix of shape {shape}')
    parts = tuple(_numbers(state[key]) for key in ('data', 'indices', 'indptr'))
    if any(part.ndim != 1 for part in parts) or any(part.dtype.kind not in 'iu' for part in parts[1:]):
        raise ValueError('a sparse matrix whose parts are no lists of numbers and indices')
    matrix = (csc_array if layout == 'csc' else csr_array)(parts, shape)
    matrix.check_format(full_check=True)  # Indices that point outside would be followed otherwise.
    return matrix.toarray()


def _write_checked(source: Path, destination: Path, arrays: dict[str, np.ndarray]) -> str:
    """Write the archive, have the body layer read it, and only then give it its name; returns the description."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    unfinished = destination.with_name(f'.{destination.name}.tmp')
    try:
        with zipfile.ZipFile(unfinished, 'w', zipfile.ZIP_STORED) as archive:
            for key, array in arrays.items():
                write_member(archive, key, array.dtype, array.shape, [array])
        columns = arrays['shapedirs'].shape[-1] if arrays['shapedirs'].ndim else 0
        usual = columns in (10, 16, 20, 300, 400)
        description = read_body_file(unfinished, num_shape_columns=None if usual else columns).description
    except DataError as error:
        raise DataError(source, error.field, error.found, error.expected, error.hint) from error
    else:
        unfinished.replace(destination)
    finally:
        unfinished.unlink(missing_ok=True)
    return str(description).replace(unfinished.name, destination.name)
