"""Reading body files of the SMPL family (``.npz``) and checking everything the layers above rely on.

Formats: SMPL (24 joints), SMPL-H (52, with optional DMPL file) and SMPL-X (55; v1.0, v1.1 and locked head, in both of
its layouts). Metres, y up, facing +z, canonical T pose. Only the keys that are needed are read, and no pickle ever.

Sources: Loper et al. 2015 (SMPL), Romero et al. 2017 (SMPL-H), Pavlakos et al. 2019 (SMPL-X).
"""

import hashlib
import logging
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from motionlab.body.skeletons import SMPLX_22
from motionlab.utils import DataError
from motionlab.utils.array_file import read_npz_arrays

FAMILIES = {24: 'smpl', 52: 'smplh', 55: 'smplx'}  # number of joints: family
GENDERS = ('female', 'male', 'neutral')
_SUM_TOLERANCE = 1e-4
# Columns of shapedirs: (shape, expression). Elsewhere the file does not tell.
_SHAPE_COLUMNS = {10: (10, 0), 16: (16, 0), 300: (300, 0)}
_SMPLX_COLUMNS = {20: (10, 10), 400: (300, 100), **_SHAPE_COLUMNS}
_REQUIRED = ('v_template', 'f', 'shapedirs', 'posedirs', 'J_regressor', 'weights', 'kintree_table')
_HANDS = ('hands_meanl', 'hands_meanr')
_CONVERT = "A vendor's .pkl becomes such a file by tools/model_converters/body_pkl_to_npz.py."


@dataclass(frozen=True)
class BodyDescription:
    """What a body file is. Shape coefficients are only valid for their own (family, gender, version).

    Args:
        family: ``'smplx'``, ``'smplh'`` or ``'smpl'``.
        gender: ``'female'``, ``'male'``, ``'neutral'`` or ``'unknown'``.
        version: Version tag, e.g. ``'v1.1'`` or ``'locked-head'``.
        num_vertices: V.
        num_joints: J.
        num_shape_columns: Shape columns in the file (before any choice of ``num_betas``).
        num_expression_columns: Expression columns in the file.
        file_name: Name of the file without its folder.
        fingerprint: 12 hex digits of the content that was read.
    """

    family: str
    gender: str
    version: str
    num_vertices: int
    num_joints: int
    num_shape_columns: int
    num_expression_columns: int
    file_name: str
    fingerprint: str

    def __str__(self) -> str:
        return (f'{self.family} {self.gender} {self.version}: {self.num_vertices} vertices, {self.num_joints} joints, '
                f'{self.num_shape_columns} shape + {self.num_expression_columns} expression columns, '
                f'{self.file_name} ({self.fingerprint})')

    @property
    def shape_space(self) -> dict[str, str]:
        """Family, gender and version: save it beside betas, and compare with :meth:`warn_if_other_shape_space`."""
        return {'family': self.family, 'gender': self.gender, 'version': self.version}

    def warn_if_other_shape_space(self, saved: dict[str, str], what: str = 'betas') -> bool:
        """Log a warning when ``saved`` is not this body's :attr:`shape_space`, in what it tells; say whether it is."""
        differs = any(self.shape_space[name] != value for name, value in saved.items())
        if differs:
            print_log(f'{what} belong to body {saved}, but this body is {self.shape_space} ({self.file_name}): shape '
                      'coefficients are not interchangeable between families, genders or versions.', 'current',
                      logging.WARNING)
        return differs


@dataclass(frozen=True)
class BodyArrays:
    """Checked content of a body file; floating-point arrays as stored, chosen columns only.

    Args:
        description: What the file is.
        v_template: (V, 3) rest vertices, metres.
        faces: (F, 3) int64 vertex ids.
        blend_shapes: (V, 3, S + E + D) shape, expression and DMPL columns.
        num_betas: S.
        num_expressions: E.
        num_dmpls: D.
        posedirs: (V, 3, 9 (J - 1)) pose blend shapes, column 9 (joint - 1) + 3 row + column of (R - I).
        joint_regressor: (J, V).
        weights: (V, J) skinning weights.
        parents: J parent indices, -1 for the root.
        hand_means: (2, 45) axis-angle of the mean hands (left, right), radians; None where the file has none.
    """

    description: BodyDescription
    v_template: np.ndarray
    faces: np.ndarray
    blend_shapes: np.ndarray
    num_betas: int
    num_expressions: int
    num_dmpls: int
    posedirs: np.ndarray
    joint_regressor: np.ndarray
    weights: np.ndarray
    parents: tuple[int, ...]
    hand_means: np.ndarray | None


def read_body_file(path: str | Path, *, num_betas: int | None = None, num_expressions: int | None = None,
                   num_shape_columns: int | None = None, dmpl_path: str | Path | None = None, num_dmpls: int = 8,
                   gender: str | None = None, version: str | None = None) -> BodyArrays:
    """Read and check a body file; arguments as in :func:`motionlab.body.load_body`.

    Raises:
        DataError: see :func:`motionlab.body.load_body`.
    """
    path = Path(path)
    arrays = read_npz_arrays(path, _REQUIRED, (*_HANDS, 'gender', 'version'), _CONVERT)
    vertices, joints = _check_arrays(path, arrays)
    family = FAMILIES[joints]
    shape, expression = _split_columns(path, family, arrays['shapedirs'].shape[2], num_shape_columns)
    num_betas = _choose(path, 'num_betas', num_betas, min(shape, 16), shape)
    num_expressions = _choose(path, 'num_expressions', num_expressions, min(expression, 10), expression)
    columns = [arrays['shapedirs'][..., :num_betas], arrays['shapedirs'][..., shape:shape + num_expressions]]
    if dmpl_path is None:
        num_dmpls = 0
    else:
        columns.append(_read_dmpls(Path(dmpl_path), family, vertices, num_dmpls))
    hands = None
    if family != 'smpl' and all(key in arrays for key in _HANDS):
        hands = np.stack([arrays[key] for key in _HANDS])  # (2, 45)
    description = BodyDescription(
        family=family, gender=_gender(path, arrays, gender), version=_version(path, arrays, version, family),
        num_vertices=vertices, num_joints=joints, num_shape_columns=shape, num_expression_columns=expression,
        file_name=path.name, fingerprint=_fingerprint(path, dmpl_path))
    return BodyArrays(
        description=description, v_template=arrays['v_template'], faces=arrays['f'].astype(np.int64),
        blend_shapes=np.concatenate(columns, axis=2), num_betas=num_betas, num_expressions=num_expressions,
        num_dmpls=num_dmpls, posedirs=arrays['posedirs'], joint_regressor=arrays['J_regressor'],
        weights=arrays['weights'], parents=_parents(path, arrays['kintree_table']), hand_means=hands)


def _check_arrays(path: Path, arrays: dict[str, np.ndarray]) -> tuple[int, int]:
    """Check shapes, kinds and values of all arrays against each other; returns (vertices, joints)."""
    regressor = _expect(path, 'J_regressor', arrays['J_regressor'], (None, None), 'f')
    joints, vertices = regressor.shape
    if joints not in FAMILIES or vertices < 1:
        raise DataError(path, 'J_regressor', f'shape {regressor.shape}',
                        '(24, V) for SMPL, (52, V) for SMPL-H or (55, V) for SMPL-X')
    _expect(path, 'posedirs', arrays['posedirs'], (vertices, 3, 9 * (joints - 1)), 'f',
            f'A {FAMILIES[joints]} body (told by the {joints} joints of J_regressor) has 9 columns for each joint but '
            'the root.')
    _expect(path, 'v_template', arrays['v_template'], (vertices, 3), 'f')
    _expect(path, 'shapedirs', arrays['shapedirs'], (vertices, 3, None), 'f')
    weights = _expect(path, 'weights', arrays['weights'], (vertices, joints), 'f')
    _expect(path, 'kintree_table', arrays['kintree_table'], (2, joints), 'iu')
    faces = _expect(path, 'f', arrays['f'], (None, 3), 'iu')
    if faces.size and not (faces.min() >= 0 and faces.max() < vertices):
        raise DataError(path, 'f', f'vertex ids {faces.min()} to {faces.max()}', f'0 to {vertices - 1}')
    for key in _HANDS:
        if key in arrays:
            _expect(path, key, arrays[key], (45,), 'f')
    off = np.abs(weights.sum(axis=1, dtype=np.float64) - 1)
    if off.max() > _SUM_TOLERANCE:
        raise DataError(path, 'weights', f'row {off.argmax()} that sums to {weights[off.argmax()].sum():.6g}',
                        f'rows that sum to 1 within {_SUM_TOLERANCE}')
    off = np.abs(regressor.sum(axis=1, dtype=np.float64) - 1)
    if off.max() > _SUM_TOLERANCE:
        print_log(f'{path}: J_regressor: row {off.argmax()} sums to {regressor[off.argmax()].sum():.6g}, not to 1 '
                  f'within {_SUM_TOLERANCE}: joints will not move with the body.', 'current', logging.WARNING)
    return vertices, joints


def _expect(path: Path, key: str, array: np.ndarray, shape: tuple[int | None, ...], kinds: str,
            hint: str = '') -> np.ndarray:
    if array.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, array.shape)):
        wanted = ', '.join('any' if want is None else str(want) for want in shape)
        raise DataError(path, key, f'shape {array.shape}', f'({wanted})', hint)
    if array.dtype.kind not in kinds:
        raise DataError(path, key, f'dtype {array.dtype}', 'integers' if 'i' in kinds else 'floating-point numbers')
    if array.dtype.kind == 'f' and not np.isfinite(array).all():
        raise DataError(path, key, f'{np.count_nonzero(~np.isfinite(array))} values not finite', 'finite values')
    return array


def _split_columns(path: Path, family: str, columns: int, num_shape_columns: int | None) -> tuple[int, int]:
    """(shape, expression) columns of ``shapedirs``."""
    known = _SMPLX_COLUMNS if family == 'smplx' else _SHAPE_COLUMNS
    if num_shape_columns is None:
        if columns not in known:
            raise DataError(path, 'shapedirs', f'{columns} columns', f'{sorted(known)} for {family}',
                            'Say with num_shape_columns= how many of them are shape; the rest is expression.')
        return known[columns]
    if not 0 < num_shape_columns <= columns or (family != 'smplx' and num_shape_columns != columns):
        raise DataError(path, 'shapedirs', f'num_shape_columns={num_shape_columns} of {columns} columns',
                        f'1 to {columns}' if family == 'smplx' else f'{columns}: {family} has no expressions')
    return num_shape_columns, columns - num_shape_columns


def _choose(path: Path, name: str, asked: int | None, default: int, available: int) -> int:
    if asked is None:
        return default
    if not 0 <= asked <= available:
        raise DataError(path, 'shapedirs', f'{name}={asked}', f'0 to {available}, the columns of that kind',
                        'Further columns mean something else and are never borrowed.')
    return asked


def _read_dmpls(path: Path, family: str, vertices: int, num_dmpls: int) -> np.ndarray:
    """(V, 3, num_dmpls) soft-tissue displacement columns."""
    if family == 'smplx':
        raise DataError(path, 'eigvec', 'a DMPL file for a smplx body', 'a body of family smplh or smpl')
    columns = _expect(path, 'eigvec', read_npz_arrays(path, ['eigvec'], hint=_CONVERT)['eigvec'],
                      (vertices, 3, None), 'f')
    if not 0 < num_dmpls <= columns.shape[2]:
        raise DataError(path, 'eigvec', f'{columns.shape[2]} columns', f'num_dmpls={num_dmpls} or more, at least 1')
    return columns[..., :num_dmpls]


def _parents(path: Path, kintree_table: np.ndarray) -> tuple[int, ...]:
    # Whatever stands at the root (4294967295, -1) marks it: nothing can be its parent.
    parents = (-1, *(int(parent) for parent in kintree_table[0, 1:]))
    wrong = [joint for joint, parent in enumerate(parents) if joint and not 0 <= parent < joint]
    if wrong:
        raise DataError(path, 'kintree_table', f'parent {parents[wrong[0]]} of joint {wrong[0]}',
                        f'a joint from 0 to {wrong[0] - 1}')
    if parents[:22] != SMPLX_22.parents:
        raise DataError(path, 'kintree_table', f'parents {parents[:22]}', f'{SMPLX_22.parents} for the first 22 joints')
    return parents


def _text(path: Path, arrays: dict[str, np.ndarray], key: str) -> str | None:
    if key not in arrays:
        return None
    array = arrays[key]
    if array.ndim or array.dtype.kind not in 'US':
        raise DataError(path, key, f'{array.dtype} of shape {array.shape}', 'one text')
    return array.item() if array.dtype.kind == 'U' else array.item().decode('latin1')


def _gender(path: Path, arrays: dict[str, np.ndarray], asked: str | None) -> str:
    """Gender from the argument, the file, or its path: ``SMPLX_MALE.npz`` or ``male/model.npz``."""
    words = path.stem.lower().split('_') + [path.parent.name.lower()]
    told = _text(path, arrays, 'gender') or next((gender for gender in GENDERS if gender in words), None)
    if asked is not None and (asked not in GENDERS or told not in (None, asked)):
        raise DataError(path, 'gender', f'gender={asked!r} asked for, {told!r} by file and path', f'one of {GENDERS}')
    return asked or told or 'unknown'


def _version(path: Path, arrays: dict[str, np.ndarray], asked: str | None, family: str) -> str:
    """Version tag from the argument, the file, or what path, columns and keys tell."""
    told = asked or _text(path, arrays, 'version')
    if told is not None:
        return told
    if family != 'smplx':
        return f'{arrays["shapedirs"].shape[2]}-column'
    columns = arrays['shapedirs'].shape[2]
    # The vendor's two layouts: models_lockedhead/smplx/SMPLX_*.npz, and */model.npz, which alone lacks the hands.
    if any('locked' in part.lower() for part in path.parts) or (columns == 400 and 'hands_meanl' not in arrays):
        return 'locked-head'
    return {20: 'v1.0', 400: 'v1.1'}.get(columns, f'{columns}-column')


def _fingerprint(path: Path, dmpl_path: str | Path | None) -> str:
    """12 hex digits over names, sizes and checksums of the members that were read: no second pass over the data."""
    digest = hashlib.sha256()
    for file, keys in ((path, (*_REQUIRED, *_HANDS)), (dmpl_path, ('eigvec',))):
        if file is not None:
            with zipfile.ZipFile(file) as archive:
                members = {member.filename: (member.file_size, member.CRC) for member in archive.infolist()}
            digest.update(repr([(key, members.get(f'{key}.npy')) for key in keys]).encode())
    return digest.hexdigest()[:12]
