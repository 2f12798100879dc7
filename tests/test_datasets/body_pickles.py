"""Body pickles as the vendor's are: written by Python 2, arrays inside objects of chumpy and scipy."""

import io
import pickle
import sys
from types import ModuleType

import numpy as np
from scipy.sparse import csc_matrix

from motionlab.body.skeletons import SMPL_24, SMPLH_52, SMPLX_55


class _VendorModule(ModuleType):
    """Stands for one of chumpy or of an older scipy."""


def vendor_class(monkeypatch, path: str) -> type:
    """An empty class that pickles under ``path``, for as long as the test runs."""
    module_name, _, name = path.rpartition('.')
    parts = module_name.split('.')
    for parent in ('.'.join(parts[:i]) for i in range(1, len(parts))):
        if parent not in sys.modules:
            monkeypatch.setitem(sys.modules, parent, ModuleType(parent))
    if not isinstance(sys.modules.get(module_name), _VendorModule):
        monkeypatch.setitem(sys.modules, module_name, _VendorModule(module_name))
    module = sys.modules[module_name]
    if not hasattr(module, name):
        setattr(module, name, type(name, (), {'__module__': module_name}))
    return getattr(module, name)


def instance(monkeypatch, path: str, **state) -> object:
    """An object of that class with these attributes."""
    made = vendor_class(monkeypatch, path)()
    made.__dict__.update(state)
    return made


def ch(monkeypatch, array: np.ndarray) -> object:
    return instance(monkeypatch, 'chumpy.ch.Ch', x=array, _dirty_vars={'x'}, _itr=None)


def select(monkeypatch, array: np.ndarray) -> object:
    """``array`` as a selection from a longer one."""
    longer = np.concatenate([np.full(7, 1e9), array.ravel()])
    return instance(monkeypatch, 'chumpy.reordering.Select', a=ch(monkeypatch, longer),
                    idxs=np.arange(7, len(longer)), preferred_shape=array.shape)


def sparse(monkeypatch, array: np.ndarray, **changed) -> object:
    matrix = csc_matrix(array)
    state = dict(_shape=array.shape, maxprint=50, data=matrix.data, indices=matrix.indices, indptr=matrix.indptr)
    return instance(monkeypatch, 'scipy.sparse.csc.csc_matrix', **(state | changed))


class _Python2Pickler(pickle._Pickler):
    """Text and bytes become byte strings, as in Python 2."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_string(self, text):
        raw = text if isinstance(text, bytes) else text.encode('latin1')
        self.write(b'U' + bytes([len(raw)]) if len(raw) < 256 else b'T' + len(raw).to_bytes(4, 'little'))
        self.write(raw)
        self.memoize(text)

    dispatch[bytes] = dispatch[str] = save_string


def python2_pickle(value: object, protocol: int = 2) -> bytes:
    stream = io.BytesIO()
    _Python2Pickler(stream, protocol).dump(value)
    return stream.getvalue()


def smpl_arrays(vertices: int = 6, joints: int = 24) -> dict[str, np.ndarray]:
    """A body of few vertices that the body layer accepts."""
    rng = np.random.default_rng(0)
    parents = {24: SMPL_24, 52: SMPLH_52, 55: SMPLX_55}[joints].parents
    weights, regressor = rng.random((vertices, joints)), rng.random((joints, vertices)) * (rng.random(vertices) > .3)
    regressor[:, 0] += .1
    return {'v_template': rng.normal(size=(vertices, 3)), 'f': np.array([[0, 1, 2], [3, 4, 5]], np.uint32),
            'shapedirs': rng.normal(size=(vertices, 3, 20 if joints == 55 else 10)),
            'posedirs': rng.normal(size=(vertices, 3, 9 * (joints - 1))),
            'J_regressor': regressor / regressor.sum(1, keepdims=True), 'weights': weights / weights.sum(1)[:, None],
            'kintree_table': np.array([[4294967295, *parents[1:]], range(joints)], np.uint32)}


def smpl_pickle(monkeypatch, arrays: dict[str, np.ndarray], **changed) -> dict:
    """What the vendor pickles: some arrays as they are, some wrapped, and entries that nobody needs."""
    regressor = sparse(monkeypatch, arrays['J_regressor'])
    v_posed = instance(monkeypatch, 'chumpy.ch_ops.add', a=ch(monkeypatch, arrays['v_template']), b=1.0)
    return arrays | {
        'shapedirs': ch(monkeypatch, arrays['shapedirs']), 'posedirs': select(monkeypatch, arrays['posedirs']),
        'J_regressor': regressor, 'J_regressor_prior': regressor, 'bs_style': 'lbs', 'bs_type': 'lrotmin', 'J': v_posed,
    } | changed
