import logging
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from motionlab.datasets.store import open_npz, require_keys, take_rows
from motionlab.utils import DataError

ARRAYS = {'S': np.arange(24, dtype=np.float32).reshape(4, 3, 2), 'names': np.array(['a', 'bcd', '', 'ef']),
          'odd': np.arange(5, dtype=np.int8), 'half': np.float16([1.5, 2.5]), 'scalar': np.float64(3.0),
          'empty': np.empty((0, 17), np.float32), 'flags': np.array([True, False])}


@pytest.fixture
def archive(tmp_path):
    np.savez(tmp_path / 'a.npz', **ARRAYS)
    return tmp_path / 'a.npz'


def _assert_equal(found):
    assert set(found) == set(ARRAYS)
    for key, value in ARRAYS.items():
        assert found[key].dtype == value.dtype
        np.testing.assert_array_equal(found[key], value)


def _base_of(array):
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def test_archive_members_are_mapped_in_place(archive):
    found = open_npz(archive)
    _assert_equal(found)
    mapped = [value for value in found.values() if value.size]
    assert all(isinstance(value, np.memmap) and not value.flags.writeable for value in mapped)
    assert len({id(_base_of(value)) for value in mapped}) == 1, 'all members share one mapping'


def test_mapping_shares_pages_with_the_file(archive):
    before = open_npz(archive)['S']
    content = archive.read_bytes()
    at = content.index(ARRAYS['S'].tobytes())
    with archive.open('r+b') as stream:
        stream.seek(at)
        stream.write(np.float32(99).tobytes())
    assert before.flat[0] == 99, 'a copy would still hold the old number'


def test_folder_of_npy_files_is_mapped(tmp_path):
    for key, value in ARRAYS.items():
        np.save(tmp_path / f'{key}.npy', value)
    found = open_npz(tmp_path)
    _assert_equal(found)
    assert isinstance(found['S'], np.memmap)


def test_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match=r'no \.npy file'):
        open_npz(tmp_path)


def test_compressed_archive_is_loaded_with_a_warning(tmp_path, caplog):
    np.savez_compressed(tmp_path / 'a.npz', **ARRAYS)
    with caplog.at_level(logging.WARNING, logger='mmengine'):
        _assert_equal(_logged(caplog, open_npz, tmp_path / 'a.npz'))
    assert 'np.savez (not savez_compressed)' in caplog.text


def _logged(caplog, function, *args):
    """Call with caplog attached to MMEngine's logger, which does not propagate."""
    from mmengine.logging import MMLogger
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        return function(*args)
    finally:
        logger.removeHandler(caplog.handler)


def test_fortran_order_is_loaded_contiguous(tmp_path, caplog):
    array = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    np.savez(tmp_path / 'a.npz', x=array)
    found = _logged(caplog, open_npz, tmp_path / 'a.npz')['x']
    np.testing.assert_array_equal(found, array)
    assert found.flags.c_contiguous
    assert 'Fortran' in caplog.text


def test_object_arrays_are_refused(tmp_path):
    np.savez(tmp_path / 'a.npz', x=np.array([{'a': 1}], dtype=object))
    with pytest.raises(DataError, match=r'a\.npz: key x: found dtype object'):
        open_npz(tmp_path / 'a.npz')


@pytest.mark.parametrize('content', [b'', b'x', b'not an archive at all' * 10, b'PK\x03\x04'])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / 'a.npz').write_bytes(content)
    with pytest.raises(DataError, match=r'a\.npz'):
        open_npz(tmp_path / 'a.npz')


def test_absent_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r'gone\.npz: file: found nothing'):
        open_npz(tmp_path / 'gone.npz')


def test_foreign_and_repeated_members_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / 'a.npz', 'w') as archive:
        archive.writestr('readme.txt', 'hello')
    with pytest.raises(DataError, match=r"member 'readme\.txt'"):
        open_npz(tmp_path / 'a.npz')


def test_checksum_is_verified_for_the_asked_members(archive):
    content = bytearray(archive.read_bytes())
    content[bytes(content).index(ARRAYS['S'].tobytes())] ^= 1
    archive.write_bytes(content)
    with pytest.raises(DataError, match=r"member 'S\.npy': found checksum"):
        open_npz(archive)
    assert 'odd' in open_npz(archive, verify=['odd'])
    with pytest.raises(DataError, match='checksum'):
        open_npz(archive, verify=['S'])


def test_size_that_contradicts_the_header_is_refused(tmp_path):
    np.save(tmp_path / 'x.npy', np.arange(6.0))
    content = (tmp_path / 'x.npy').read_bytes()
    (tmp_path / 'x.npy').write_bytes(content[:-3])
    with pytest.raises(DataError, match='key x: found 45 bytes of data, expected 48'):
        open_npz(tmp_path)


def test_require_keys_names_every_missing_one(archive):
    found = open_npz(archive)
    require_keys(archive, found, ['S', 'odd'])
    with pytest.raises(DataError, match=r'key T, U: found only .*odd'):
        require_keys(archive, found, ['S', 'T', 'U'])


@pytest.mark.parametrize('key', ['S', 'odd', 'names', 'flags'])
def test_take_rows_equals_fancy_indexing_on_unaligned_maps(archive, key):
    array = open_npz(archive)[key]
    rows = np.array([[1, 0, 1], [0, 1, 1]])
    found = take_rows(array, rows)
    np.testing.assert_array_equal(found, ARRAYS[key][rows])
    assert found.flags.aligned
    assert found.dtype == ARRAYS[key].dtype


def _load_or_refuse(path):
    """The arrays of a damaged file are refused by a DataError, or are untouched."""
    try:
        found = open_npz(path)
    except DataError as error:
        assert str(path.name) in str(error)
        return
    _assert_equal(found)


_FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_FUZZ
@given(cut=st.floats(0, 1, exclude_max=True))
def test_truncated_archives_are_refused(archive, cut):
    content = archive.read_bytes()
    path = archive.with_name('cut.npz')
    path.write_bytes(content[:int(cut * len(content))])
    with pytest.raises(DataError, match=r'cut\.npz'):
        open_npz(path)


@_FUZZ
@given(changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4),
       compressed=st.booleans())
@example(changes=[(0.0, 0)], compressed=False)
def test_mutated_archives_are_refused_or_unharmed(archive, changes, compressed):
    path = archive.with_name('mutated.npz')
    (np.savez_compressed if compressed else np.savez)(path, **ARRAYS)
    content = bytearray(path.read_bytes())
    for place, value in changes:
        content[int(place * len(content))] = value
    path.write_bytes(content)
    _load_or_refuse(path)


@_FUZZ
@given(place=st.integers(0, 127), value=st.integers(0, 255))
def test_mutated_npy_headers_never_end_in_a_bare_exception(tmp_path, place, value):
    np.save(tmp_path / 'x.npy', ARRAYS['S'])
    content = bytearray((tmp_path / 'x.npy').read_bytes())
    content[place] = value
    (tmp_path / 'x.npy').write_bytes(content)
    try:
        open_npz(tmp_path)
    except DataError as error:
        assert 'x.npy' in str(error) or 'key x' in str(error)
