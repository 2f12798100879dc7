"""Reading motion files: both schemas, only what is used, and every malformation by name."""

import zipfile

import numpy as np
import pytest

from motionlab.datasets.amass.archive import MotionArchive
from motionlab.datasets.amass.schema import (
    MotionHeader,
    holds_motion,
    read_betas,
    read_body_pose,
    read_finite,
    read_frame_rate,
    read_gender,
    read_header,
)
from motionlab.utils import DataError
from tests.amass_tree import motion_arrays, write_motion

N = 12


def _at(index, value):
    def change(array):
        array = array.copy()
        array[index] = value
        return array
    return change


def _read(path):
    with MotionArchive(path) as archive:
        header = read_header(archive)
        return header, *read_body_pose(archive, header)


@pytest.mark.parametrize(('name', 'header'), [('a_poses.npz', MotionHeader('smplh', N, False)),
                                              ('a_stageii.npz', MotionHeader('smplx', N, True))])
def test_both_schemas(tmp_path, name, header):
    path = write_motion(tmp_path / name, N)
    found, root_orient, pose_body = _read(path)
    assert found == header
    with np.load(path) as data:
        np.testing.assert_array_equal(root_orient, data['poses'][:, :3])
        np.testing.assert_array_equal(pose_body, data['poses'][:, 3:66])


def test_split_fields_alone_are_enough_and_fortran_order_is_read(tmp_path):
    path = write_motion(tmp_path / 'a_stageii.npz', N, changes={'poses': None, 'pose_body': np.asfortranarray})
    assert _read(path)[0] == MotionHeader('smplx', N, True)
    np.testing.assert_array_equal(_read(path)[2], motion_arrays(N, seed=_seed(path))['pose_body'])


def _seed(path):
    import zlib
    return zlib.crc32(path.name.encode())


@pytest.mark.parametrize('dtype', ['<f4', '>f8'])
def test_either_float_width_and_byte_order(tmp_path, dtype):
    path = write_motion(tmp_path / 'a_poses.npz', N, changes={'poses': lambda a: a.astype(dtype)})
    np.testing.assert_allclose(_read(path)[2], motion_arrays(N, 'smplh', seed=_seed(path))['poses'][:, 3:66], atol=1e-6)


def test_unused_members_are_not_even_decompressed(tmp_path):
    path = write_motion(tmp_path / 'a_stageii.npz', N, changes={
        'marker_meta': np.array({'a': 1}, dtype=object), 'dmpls': np.zeros((8, N))})
    damaged = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        for key in ('pose_hand', 'markers_latent', 'poses'):
            start = archive.getinfo(f'{key}.npy').header_offset + 300
            damaged[start:start + 20] = bytes(20)  # The header of the array itself lies before.
    path.write_bytes(damaged)
    with MotionArchive(path) as archive, pytest.raises(DataError, match='pose_hand: content'):
        archive.read('pose_hand')
    header, root_orient, pose_body = _read(path)
    assert header.num_frames == len(root_orient) == len(pose_body) == N
    with MotionArchive(path) as archive, pytest.raises(DataError, match='marker_meta: dtype: found pickled objects'):
        archive.read('marker_meta')


# What is wrong -> (changes to a file of schema A, of B or both, words of the error).
MALFORMED = {
    'poses missing': ('A', {'poses': None}, r'poses: missing: found no such key'),
    'SMPL': ('A', {'poses': lambda a: a[:, :72]}, r'poses: width: found 72, expected 156 \(SMPL-H\) or 165'),
    'a width between': ('B', {'poses': lambda a: a[:, :160]}, 'poses: width: found 160'),
    'poses per joint': ('A', {'poses': lambda a: a.reshape(N, 52, 3)}, r'poses: shape: found \(12, 52, 3\)'),
    'NaN': ('A', {'poses': _at((5, 10), np.nan)}, r'poses: not finite: found 1 such values, the first at \[5, 10\]'),
    'beyond float32': ('A', {'poses': _at((5, 10), 1e200)}, r'poses: not finite: found 1 such .* finite float32'),
    'infinity': ('B', {'pose_body': _at(3, -np.inf)}, r'pose_body: not finite: found 63'),
    'trans one frame short': ('A', {'trans': lambda a: a[:-1]}, r'trans: length: found 11 frames, expected 12, as in'),
    'pose_body one frame short': ('B', {'pose_body': lambda a: a[:-1]}, r'pose_body: length: found 11'),
    'no frame': ('B', {key: lambda a: a[:0] for key in ('poses', 'trans', 'root_orient', 'pose_body')},
                 'poses: length: found no frame'),
    'no poses at all': ('A', {'poses': np.zeros(0)}, r'poses: shape: found \(0,\)'),
    'a scalar': ('A', {'poses': np.float64(1)}, r'poses: shape: found \(\)'),
    'half precision': ('A', {'poses': np.float16}, 'poses: dtype: found float16, expected float32 or float64'),
    'integers': ('A', {'poses': np.int64}, 'poses: dtype: found int64'),
    'text': ('A', {'poses': np.str_}, 'poses: dtype: found <U'),
    'complex': ('B', {'pose_body': np.complex128}, 'pose_body: dtype: found complex128'),
    'objects': ('A', {'poses': lambda a: a.astype(object)}, 'poses: dtype: found pickled objects'),
    'root of four': ('B', {'root_orient': np.zeros((N, 4))}, 'root_orient: width: found 4, expected 3'),
    'two dimensions of trans': ('A', {'trans': np.zeros((N, 2))}, 'trans: width: found 2'),
    'another body': ('B', {'surface_model_type': np.array('smplh')}, "surface_model_type: value: found 'smplh', expe"),
    'an unknown body': ('B', {'surface_model_type': np.array('flame'), 'poses': None}, 'surface_model_type: value'),
    'body not named by text': ('B', {'surface_model_type': np.array(3)}, 'surface_model_type: dtype'),
}


@pytest.mark.parametrize('case', MALFORMED)
def test_malformed(tmp_path, case):
    schema, changes, words = MALFORMED[case]
    changes = {key: (lambda a, kind=value: a.astype(kind)) if isinstance(value, type) else value
               for key, value in changes.items()}
    path = write_motion(tmp_path / {'A': 'a_poses.npz', 'B': 'a_stageii.npz'}[schema], N, changes=changes)
    with pytest.raises(DataError, match=words) as error:
        _read(path)
    assert error.value.file == path and 'expected' in str(error.value)


def _cut(data):
    return data[:len(data) // 2]


def _flip(data):
    middle = data.find(b'poses.npy') + 3000
    return data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1:]


@pytest.mark.parametrize(('change', 'words'), [
    (_cut, 'archive: found BadZipFile'), (lambda data: b'', 'archive: found BadZipFile'),
    (lambda data: b'PK rubbish', 'archive: found BadZipFile'), (_flip, 'poses: content: found')])
def test_damaged_archives(tmp_path, change, words):
    path = write_motion(tmp_path / 'a_poses.npz', 40)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=words):
        _read(path)


def test_a_header_that_promises_too_much_allocates_nothing(tmp_path):
    path = tmp_path / 'a_poses.npz'
    with zipfile.ZipFile(path, 'w') as archive, archive.open('poses.npy', 'w') as file:
        np.lib.format.write_array_header_1_0(file, {'descr': '<f8', 'fortran_order': False, 'shape': (10**12, 156)})
        file.write(bytes(100))
    with pytest.raises(DataError, match=r'poses: size: found 100 bytes, expected 1248000000000000'):
        _read(path)


def test_two_members_of_one_name(tmp_path):
    path = tmp_path / 'a_poses.npz'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('poses.npy', b'1')
        with pytest.warns(UserWarning, match='Duplicate'):
            archive.writestr('poses.npy', b'2')
    with pytest.raises(DataError, match='two members of one name'):
        _read(path)


def _facts(path):
    with MotionArchive(path) as archive:
        return read_frame_rate(archive), read_gender(archive), read_betas(archive)


def test_facts_of_a_motion(tmp_path):
    for name, gender in (('a_poses.npz', b'female'), ('b_poses.npz', 'Male'), ('c_stageii.npz', np.array(['neutral']))):
        rate, found, betas = _facts(write_motion(tmp_path / name, N, gender=gender, fps=59.94))
        text = {b'female': 'female', 'Male': 'male'}.get(gender if isinstance(gender, (str, bytes)) else '', 'neutral')
        assert (rate, found, len(betas)) == (59.94, text, 16)
    assert _facts(write_motion(tmp_path / 'd_stageii.npz', N, changes={'betas': None}))[2] is None
    swapped = {'mocap_framerate': None, 'mocap_frame_rate': np.array([60])}
    assert _facts(write_motion(tmp_path / 'e_poses.npz', N, changes=swapped))[0] == 60


@pytest.mark.parametrize(('changes', 'words'), [
    ({'mocap_framerate': None}, 'frame rate: missing: found nothing, expected mocap_framerate or mocap_frame_rate'),
    ({'mocap_framerate': np.array(0.0)}, 'mocap_framerate: value: found 0.0'),
    ({'mocap_framerate': np.array(np.nan)}, 'mocap_framerate: value: found nan'),
    ({'mocap_framerate': np.array('120')}, 'mocap_framerate: dtype: found <U3'),
    ({'mocap_framerate': np.array([60.0, 60.0])}, r'mocap_framerate: dtype: found float64 of shape \(2,\)'),
    ({'mocap_frame_rate': np.array(60.0)}, 'frame rate: contradiction'),
    ({'gender': None}, 'gender: value: found None'), ({'gender': np.array('robot')}, "gender: value: found 'robot'"),
    ({'gender': np.array(1.0)}, 'gender: dtype'), ({'gender': np.array(None)}, 'gender: dtype: found pickled objects'),
    ({'betas': np.zeros((N, 16))}, r'betas: shape: found \(12, 16\)'), ({'betas': np.arange(16)}, 'betas: dtype'),
    ({'betas': np.full(16, np.nan)}, 'betas: not finite')])
def test_malformed_facts(tmp_path, changes, words):
    with pytest.raises(DataError, match=words):
        _facts(write_motion(tmp_path / 'a_poses.npz', N, changes=changes))


def test_files_of_other_names_are_told_by_their_keys(tmp_path):
    for name, motion in (('walk.npz', True), ('neutral_stagei.npz', False)):
        with MotionArchive(write_motion(tmp_path / name, N)) as archive:
            assert holds_motion(archive) == motion


def test_fingerprints_follow_content_not_time(tmp_path):
    first, copy, other = (write_motion(tmp_path / folder / 'a_poses.npz', frames)
                          for folder, frames in (('a', N), ('b', N), ('c', N + 1)))
    prints = []
    for path in (first, copy, other):
        with MotionArchive(path) as archive:
            prints.append(archive.fingerprint())
    assert prints[0] == prints[1] != prints[2]
    with MotionArchive(first) as archive:
        assert read_finite(archive, 'trans').shape == (N, 3)
