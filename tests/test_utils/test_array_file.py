"""Chosen arrays of foreign archives: nothing else is touched, nothing damaged is taken."""

import zipfile

import numpy as np
import pytest

from motionlab.utils import DataError
from motionlab.utils.array_file import read_npz_arrays


@pytest.fixture
def path(tmp_path):
    np.savez(tmp_path / 'a.npz', x=np.arange(6.).reshape(2, 3), text=np.array('hello'),
             objects=np.array([{}], dtype=object))
    return tmp_path / 'a.npz'


def test_reads_what_is_asked_for(path):
    arrays = read_npz_arrays(path, ['x'], ['text', 'absent'])
    assert sorted(arrays) == ['text', 'x'] and arrays['text'] == 'hello'
    np.testing.assert_array_equal(arrays['x'], [[0, 1, 2], [3, 4, 5]])


def test_missing_keys_objects_and_other_files_are_named(path, tmp_path):
    with pytest.raises(DataError, match=r"key y, z: found only \['objects', 'text', 'x'\].*do this"):
        read_npz_arrays(path, ['x', 'y', 'z'], hint='do this')
    with pytest.raises(DataError, match=r'key objects: found ValueError.*do this'):
        read_npz_arrays(path, ['objects'], hint='do this')
    np.save(tmp_path / 'b.npz.npy', np.zeros(3))
    with pytest.raises(DataError, match='zip archive'):
        read_npz_arrays(tmp_path / 'b.npz.npy', ['x'])
    with pytest.raises(DataError, match='nothing at this path'):
        read_npz_arrays(tmp_path / 'absent.npz', ['x'])


def test_a_shape_smaller_than_the_data_is_no_array(path, tmp_path):
    with zipfile.ZipFile(path) as archive:
        member = archive.read('x.npy').replace(b'(2, 3)', b'(2, 2)')
    with zipfile.ZipFile(tmp_path / 'b.npz', 'w') as archive:
        archive.writestr('x.npy', member)
    with pytest.raises(DataError, match='data goes on behind the array'):
        read_npz_arrays(tmp_path / 'b.npz', ['x'])


def test_checksums_count(path, tmp_path):
    content = bytearray(path.read_bytes())
    content[content.index(np.float64(4).tobytes())] ^= 1
    (tmp_path / 'b.npz').write_bytes(content)
    with pytest.raises(DataError, match='key x: found BadZipFile'):
        read_npz_arrays(tmp_path / 'b.npz', ['x'])
