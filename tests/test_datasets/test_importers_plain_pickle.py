"""Plain data is read from pickles of every protocol and of Python 2; everything else is refused, and never run."""

import os
import pickle
import pickletools
from collections import OrderedDict
from fractions import Fraction

import numpy as np
import pytest

from motionlab.datasets.importers.plain_pickle import load_object_npz, load_plain_pickle
from motionlab.utils import DataError

DATA = {
    'numbers': [1, 2.5, True, None, 'text', b'bytes', (1, 2), {3}, frozenset({4})],
    'float': np.linspace(0, 1, 12).reshape(3, 4), 'big endian': np.arange(5, dtype='>i4'),
    'fortran': np.asfortranarray(np.arange(12.0).reshape(3, 4)), 'empty': np.zeros((0, 3), np.float32),
    'text': np.array(['a', 'bcd']), 'bool': np.array([True, False]), 'scalar': np.float32(1.5), 'zero-d': np.array(7),
    'objects': np.array([{'a': np.arange(3)}, [1], None], dtype=object), ('tuple', 'key'): OrderedDict(a=np.ones(2)),
}


def assert_same(found, expected):
    if isinstance(expected, np.ndarray):
        assert found.shape == expected.shape and found.dtype == expected.dtype
        if expected.dtype == object:
            for a, b in zip(found.ravel(), expected.ravel()):
                assert_same(a, b)
        else:
            np.testing.assert_array_equal(found, expected)
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_same(found[key], value)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for a, b in zip(found, expected):
            assert_same(a, b)
    else:
        assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize('protocol', range(2, 6))
def test_reads_plain_data_of_every_protocol(tmp_path, protocol):
    path = tmp_path / 'a.pkl'
    path.write_bytes(pickle.dumps(DATA, protocol))
    assert_same(load_plain_pickle(path), DATA)


def test_what_occurs_twice_stays_one_object(tmp_path):
    array = np.arange(3)
    (tmp_path / 'a.pkl').write_bytes(pickle.dumps([array, array], 4))
    found = load_plain_pickle(tmp_path / 'a.pkl')
    assert found[0] is found[1]


def test_reads_python_2_byte_strings(tmp_path):
    """Opcodes as Python 2 writes them: array content and text are byte strings, modules have their old names."""
    raw = np.array([1.5, -2.0, 1e300], dtype='<f8').tobytes()
    content = (b'\x80\x02}(U\x05namesU\x02\xe9a'
               b'U\x05arraycnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R'
               b'(K\x01K\x03\x85cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff'
               b'K\x00tb\x89U' + bytes([len(raw)]) + raw + b'tbu.')
    pickletools.dis(content, out=open(os.devnull, 'w'))  # noqa: SIM115 - It is a well-formed pickle.
    (tmp_path / 'a.pkl').write_bytes(content)
    found = load_plain_pickle(tmp_path / 'a.pkl')
    assert found['names'] == 'éa'
    np.testing.assert_array_equal(found['array'], [1.5, -2.0, 1e300])


class Runs:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


@pytest.mark.parametrize('evil, named', [
    (Runs(os.system, 'touch EVIL'), 'system'), (Runs(eval, '1+1'), 'eval'), (Runs(getattr, 'a', 'upper'), 'getattr'),
    (Runs(np.load, 'a.npy'), 'load'), (Runs(__import__, 'os'), '__import__'), (Fraction(1, 2), 'Fraction'),
    (np.array([Runs(os.system, 'touch EVIL')], dtype=object), 'system'), (np.dtype([('a', 'f4')]), 'structured|dtype'),
    (np.array([(1.0,)], dtype=[('a', 'f4')]), 'structured|dtype'), (np.ndarray, 'Maker')],
    ids=['system', 'eval', 'getattr', 'np.load', 'import', 'class', 'object array', 'dtype', 'structured', 'a class'])
@pytest.mark.parametrize('protocol', [2, 4])
def test_refuses_everything_else_without_running_it(tmp_path, monkeypatch, evil, named, protocol):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'evil.pkl').write_bytes(pickle.dumps({'jointPositions': evil}, protocol))
    with pytest.raises(DataError, match=named) as caught:
        load_plain_pickle(tmp_path / 'evil.pkl')
    assert 'evil.pkl' in str(caught.value) and not (tmp_path / 'EVIL').exists()
    np.savez(tmp_path / 'evil.npz', positions_3d=np.array({'S1': evil}, dtype=object))
    with pytest.raises(DataError, match=named) as caught:
        load_object_npz(tmp_path / 'evil.npz', ('positions_3d',))
    assert 'key positions_3d' in str(caught.value) and not (tmp_path / 'EVIL').exists()


_FORGED = {
    'state': b'cnumpy\ndtype\n}U\x08__call__K\x01sb.', 'dtype': b'cnumpy\ndtype\n(U\x02f8tR.',
    'array without content': b'cnumpy.core.multiarray\n_reconstruct\n)R.',
    'objects from bytes': (b'cnumpy.core.multiarray\n_reconstruct\n)R(K\x01)cnumpy\ndtype\n(U\x01OtR\x89U\x08aaaaaaaa'
                           b'tb.'),
    'object scalar': b'cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(U\x01OtRU\x08aaaaaaaatR.',
    'codec': b'c_codecs\nencode\n(U\x01aU\x03hextR.', 'memory': b'c__builtin__\nbytes\n(I99999999999\ntR.',
    'extension': b'\x82\x01.', 'persistent': b'U\x01ap0\nQ.', 'cycle': b'(lp0\ng0\na.', 'no bytes': b'',
    'cut off': b'\x80\x04\x95\x00',
}


@pytest.mark.parametrize('content', _FORGED.values(), ids=_FORGED.keys())
def test_forged_and_damaged_pickles_are_errors(tmp_path, content):
    (tmp_path / 'a.pkl').write_bytes(content)
    with pytest.raises(DataError, match=r'a\.pkl'):
        load_plain_pickle(tmp_path / 'a.pkl')


@pytest.mark.parametrize('protocol', range(6))
def test_objects_of_named_packages_are_recorded(tmp_path, protocol):
    path = tmp_path / 'a.pkl'
    path.write_bytes(pickle.dumps(OrderedDict(a=Plain(shared=1), b=Plain(array=np.arange(3))), protocol))
    found = load_plain_pickle(path, recorded=(__name__.rpartition('.')[0],))
    assert found['a'].class_path == f'{__name__}.Plain' and found['a'].state == {'shared': 1}
    assert_same(found['b'].state['array'], np.arange(3))
    for recorded in ((), (__name__[:-1],)):  # A package is not what its name begins with.
        with pytest.raises(DataError, match='Plain is asked for'):
            load_plain_pickle(path, recorded=recorded)


class Plain:
    def __init__(self, **attributes):
        self.__dict__.update(attributes)


@pytest.mark.parametrize('content', [
    b'cfoo.bar\nBaz\n}b.', b'cfoo.bar\nBaz\n(K\x01tR.', b'cfoo.bar\nBaz\n(K\x01t\x81.', b'cfoo.bar\nBaz\n.',
    b'ccopy_reg\n_reconstructor\n(cfoo.bar\nBaz\nc__builtin__\ndict\n}tR.',
    b'ccopy_reg\n_reconstructor\n(cnumpy\nndarray\nc__builtin__\nobject\nNtR.'],
    ids=['state for a class', 'call', 'new with arguments', 'class', 'derived from dict', 'another class'])
def test_forged_foreign_objects_are_errors(tmp_path, content):
    (tmp_path / 'a.pkl').write_bytes(content)
    with pytest.raises(DataError, match=r'a\.pkl'):
        load_plain_pickle(tmp_path / 'a.pkl', recorded=('foo',))


def test_object_npz(tmp_path):
    data = {'S1': {'Walking': [np.ones((2, 17, 2), np.float32)] * 4}}
    for name, save in (('a.npz', np.savez), ('b.npz', np.savez_compressed)):
        save(tmp_path / name, positions_2d=data, metadata={'num_joints': 17}, plain=np.arange(3.0))
        found = load_object_npz(tmp_path / name, ('positions_2d', 'metadata', 'plain'))
        assert_same(found, {'positions_2d': data, 'metadata': {'num_joints': 17}, 'plain': np.arange(3.0)})
    with pytest.raises(DataError, match=r'key positions_3d: found only .*metadata'):
        load_object_npz(tmp_path / 'a.npz', ('positions_3d',))
    (tmp_path / 'c.npz').write_bytes((tmp_path / 'a.npz').read_bytes()[:200])
    with pytest.raises(DataError, match=r'c\.npz: archive'):
        load_object_npz(tmp_path / 'c.npz', ('plain',))
    with pytest.raises(DataError, match='nothing at this path'):
        load_object_npz(tmp_path / 'd.npz', ('plain',))
    with pytest.raises(DataError, match='nothing at this path'):
        load_plain_pickle(tmp_path / 'd.pkl')
