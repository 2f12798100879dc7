"""Body files: what is told from their content, what is refused, and that damage never passes in silence."""

import re
import shutil

import numpy as np
import pytest
import torch

from motionlab.body import body_file, load_body
from motionlab.body.body_file import read_body_file
from motionlab.utils import DataError
from tests.test_body.body_files import body_arrays, write_body


@pytest.fixture
def logged(monkeypatch):
    """What the module logs."""
    messages = []
    monkeypatch.setattr(body_file, 'print_log', lambda message, *_: messages.append(message))
    return messages


def _describe(path, **options):
    return read_body_file(path, **options).description


@pytest.mark.parametrize(('family', 'columns', 'shape', 'expression', 'version'), [
    ('smplx', 20, 10, 10, 'v1.0'), ('smplx', 400, 300, 100, 'v1.1'), ('smplx', 16, 16, 0, '16-column'),
    ('smplx', 300, 300, 0, '300-column'), ('smplh', 10, 10, 0, '10-column'), ('smplh', 16, 16, 0, '16-column'),
    ('smpl', 300, 300, 0, '300-column')])
def test_family_and_columns_are_told_and_shown(family, columns, shape, expression, version, tmp_path):
    path = write_body(tmp_path / 'anything.npz', family, columns)
    found = _describe(path)
    assert (found.family, found.num_shape_columns, found.num_expression_columns) == (family, shape, expression)
    assert (found.version, found.gender, found.num_vertices) == (version, 'unknown', 60)
    text = str(load_body(path).description)
    for part in (family, 'unknown', version, '60 vertices', f'{found.num_joints} joints', f'{shape} shape',
                 'anything.npz', found.fingerprint):
        assert part in text
    assert re.fullmatch('[0-9a-f]{12}', found.fingerprint)


def test_default_numbers_of_coefficients(tmp_path):
    big, small = write_body(tmp_path / 'a.npz', columns=400), write_body(tmp_path / 'b.npz', columns=20)
    bodies = [load_body(big), load_body(big, num_betas=300, num_expressions=100), load_body(small)]
    assert [(body.num_betas, body.num_expressions) for body in bodies] == [(16, 10), (300, 100), (10, 10)]


def test_expressions_follow_all_shape_columns(tmp_path):
    path = write_body(tmp_path / 'body.npz', columns=400)
    arrays, body = body_arrays(columns=400), load_body(path, num_betas=5, num_expressions=3, dtype=torch.float64)
    expected = arrays['v_template'] + arrays['shapedirs'][..., 302]
    np.testing.assert_allclose(body.vertices(expression=torch.tensor([0., 0., 1.])).numpy(), expected, atol=1e-15)
    path = write_body(tmp_path / 'odd.npz', columns=23)
    body = load_body(path, num_shape_columns=20, dtype=torch.float64)
    expected = arrays['v_template'] + body_arrays(columns=23)['shapedirs'][..., 22]
    assert (body.num_betas, body.num_expressions) == (16, 3)
    np.testing.assert_allclose(body.vertices(expression=torch.tensor([0., 0., 1.])).numpy(), expected, atol=1e-15)


@pytest.mark.parametrize(('family', 'columns', 'options', 'message'), [
    ('smplx', 20, {'num_betas': 16}, r'num_betas=16, expected 0 to 10'),
    ('smplx', 20, {'num_expressions': 11}, r'num_expressions=11, expected 0 to 10'),
    ('smplx', 16, {'num_expressions': 1}, r'num_expressions=1, expected 0 to 0'),
    ('smplx', 400, {'num_betas': 301}, r'num_betas=301, expected 0 to 300'),
    ('smplh', 16, {'num_betas': 17}, r'num_betas=17, expected 0 to 16'),
    ('smplx', 110, {}, r'110 columns.*num_shape_columns='), ('smplh', 20, {}, r'20 columns.*num_shape_columns='),
    ('smplx', 20, {'num_shape_columns': 21}, r'num_shape_columns=21 of 20 columns'),
    ('smpl', 20, {'num_shape_columns': 10}, r'smpl has no expressions'),
    ('smpl', 10, {'flat_hand_mean': False}, r'hands_meanl'),
    ('smplx', 20, {'gender': 'child'}, r"gender='child' asked for"),
    ('smplx', 20, {'dmpl_path': 'dmpl.npz'}, r'a DMPL file for a smplx body')])
def test_what_a_file_cannot_give_is_refused(family, columns, options, message, tmp_path):
    path = write_body(tmp_path / 'body.npz', family, columns)
    with pytest.raises(DataError, match=message) as error:
        load_body(path, **options)
    assert str(error.value.file) in (str(path), 'dmpl.npz')


def test_both_layouts_of_the_locked_head(tmp_path):
    first = write_body(tmp_path / 'smplx/female/model.npz', columns=400,
                       drop=('hands_meanl', 'hands_meanr', 'hands_componentsl', 'hands_componentsr'))
    second = write_body(tmp_path / 'models_lockedhead/smplx/SMPLX_MALE.npz', columns=400)
    found = [_describe(path) for path in (first, second)]
    assert [(one.version, one.gender) for one in found] == [('locked-head', 'female'), ('locked-head', 'male')]
    assert load_body(first).joints().shape == load_body(second, flat_hand_mean=False).joints().shape == (55, 3)
    with pytest.raises(DataError, match='one layout of the locked-head files lacks the keys'):
        load_body(first, flat_hand_mean=False)


def test_gender_and_version_from_file_path_or_caller(tmp_path):
    path = write_body(tmp_path / 'SMPLX_NEUTRAL.npz')
    assert _describe(path).gender == 'neutral'
    assert _describe(path, gender='neutral', version='2020').version == '2020'
    with pytest.raises(DataError, match="gender='male' asked for, 'neutral' by file and path"):
        read_body_file(path, gender='male')
    told = write_body(tmp_path / 'body.npz', gender=np.array(b'female'), version=np.array('stand-in'))
    assert (_describe(told).gender, _describe(told).version) == ('female', 'stand-in')
    with pytest.raises(DataError, match='gender: found'):
        read_body_file(write_body(tmp_path / 'body.npz', gender=np.array(3)))


def test_shape_spaces_are_compared(tmp_path, logged):
    ours = load_body(write_body(tmp_path / 'SMPLX_MALE.npz')).description
    other = load_body(write_body(tmp_path / 'SMPLX_FEMALE.npz')).description
    assert not ours.warn_if_other_shape_space(dict(ours.shape_space)) and not logged
    assert ours.warn_if_other_shape_space(other.shape_space, 'betas of walk.npz')
    for part in ('betas of walk.npz', 'female', 'SMPLX_MALE.npz'):
        assert part in logged[0]


@pytest.mark.parametrize('root', [np.uint32(4294967295), np.int64(4294967295), np.int32(-1), np.int64(7), np.uint8(9)])
def test_root_marker_may_be_anything(root, tmp_path):
    tree = body_arrays()['kintree_table'].astype(np.asarray(root).dtype)
    tree[0, 0] = root
    assert read_body_file(write_body(tmp_path / 'body.npz', kintree_table=tree)).parents[:4] == (-1, 0, 0, 0)


def test_unneeded_members_may_be_pickled(tmp_path):
    path = write_body(tmp_path / 'body.npz', joint2num=np.array({'pelvis': 0}, dtype=object))
    assert load_body(path).num_joints == 55


def test_a_regressor_that_does_not_sum_to_one_is_reported(tmp_path, logged):
    regressor = body_arrays()['J_regressor']
    regressor[3] *= 1.01
    load_body(write_body(tmp_path / 'body.npz', J_regressor=regressor))
    assert 'J_regressor: row 3 sums to 1.01' in logged[0]


def _changed(key, change):
    array = body_arrays()[key]
    return {key: change(array)}


def _put(index, value):
    def change(array):
        array[index] = value
        return array
    return change


@pytest.mark.parametrize(('changes', 'field', 'message'), [
    (_changed('v_template', lambda a: a[:-1]), 'v_template', r'shape \(59, 3\), expected \(60, 3\)'),
    (_changed('v_template', _put((4, 1), np.nan)), 'v_template', '1 values not finite'),
    (_changed('v_template', lambda a: a.astype(int)), 'v_template', 'dtype int64'),
    (_changed('shapedirs', lambda a: a[:, :, 0]), 'shapedirs', r'\(60, 3, any\)'),
    (_changed('shapedirs', _put((0, 0, 19), np.inf)), 'shapedirs', 'not finite'),
    (_changed('posedirs', lambda a: a[..., :459]), 'posedirs', r'459\), expected \(60, 3, 486\).*smplx body'),
    (_changed('J_regressor', lambda a: a[:40]), 'J_regressor', r'\(55, V\) for SMPL-X'),
    (_changed('J_regressor', lambda a: a[:, :0]), 'J_regressor', r'shape \(55, 0\)'),
    (_changed('weights', lambda a: 1.001 * a), 'weights', 'sums to 1.001, expected rows that sum to 1'),
    (_changed('weights', lambda a: a[:, :54]), 'weights', r'expected \(60, 55\)'),
    (_changed('kintree_table', lambda a: a[0]), 'kintree_table', r'expected \(2, 55\)'),
    (_changed('kintree_table', lambda a: a.astype(float)), 'kintree_table', 'expected integers'),
    (_changed('kintree_table', _put((0, 30), 30)), 'kintree_table', 'parent 30 of joint 30, expected .* 0 to 29'),
    (_changed('kintree_table', _put((0, 30), 4294967295)), 'kintree_table', 'parent 4294967295 of joint 30'),
    (_changed('kintree_table', _put((0, 3), 1)), 'kintree_table', 'for the first 22 joints'),
    (_changed('f', _put((0, 0), 60)), 'f', 'vertex ids 0 to 60, expected 0 to 59'),
    (_changed('f', _put((0, 0), -1)), 'f', 'vertex ids -1 to 59'),
    (_changed('f', lambda a: a.astype(float)), 'f', 'expected integers'),
    (_changed('hands_meanl', lambda a: a[:6]), 'hands_meanl', r'shape \(6,\), expected \(45\)'),
    ({'J_regressor': np.array({'sparse': 1}, dtype=object)}, 'key J_regressor', 'body_pkl_to_npz')])
def test_every_check_names_file_and_field(changes, field, message, tmp_path):
    path = write_body(tmp_path / 'body.npz', **changes)
    with pytest.raises(DataError, match=message) as error:
        load_body(path)
    assert error.value.file == path and error.value.field == field


@pytest.mark.parametrize('key', ['v_template', 'f', 'shapedirs', 'posedirs', 'J_regressor', 'weights', 'kintree_table'])
def test_missing_keys_are_named(key, tmp_path):
    with pytest.raises(DataError, match=f'key {key}: found only'):
        load_body(write_body(tmp_path / 'body.npz', drop=(key,)))


@pytest.mark.parametrize(('content', 'message'), [
    ({'eigvec': np.zeros((60, 3, 7))}, 'num_dmpls=8 or more'), ({'eigvec': np.zeros((59, 3, 8))}, r'expected \(60, 3'),
    ({'eigval': np.zeros(8)}, 'key eigvec')])
def test_wrong_dmpl_files_are_named(content, message, tmp_path):
    np.savez(tmp_path / 'dmpl.npz', **content)
    with pytest.raises(DataError, match=message):
        load_body(write_body(tmp_path / 'body.npz', 'smplh'), dmpl_path=tmp_path / 'dmpl.npz')


def test_fingerprint_follows_the_content(tmp_path):
    path = write_body(tmp_path / 'body.npz')
    same = shutil.copy(path, tmp_path / 'copy.npz')
    other = write_body(tmp_path / 'other.npz', **_changed('posedirs', _put((0, 0, 0), 1.0)))
    more = write_body(tmp_path / 'more.npz', vt=np.zeros(3))
    prints = [_describe(one).fingerprint for one in (path, same, more, other)]
    assert prints[0] == prints[1] == prints[2] != prints[3]


@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
def test_damaged_files_raise_or_change_nothing(save, tmp_path):
    """Truncations and flipped bytes: either the named error, or (in bytes that do not matter) the very same body."""
    arrays = {key: value.astype(np.float32) if value.dtype.kind == 'f' else value
              for key, value in body_arrays(vertices=8).items()}
    save(tmp_path / 'whole.npz', **arrays)
    whole, reference = (tmp_path / 'whole.npz').read_bytes(), load_body(tmp_path / 'whole.npz')
    rng, path, raised = np.random.default_rng(0), tmp_path / 'damaged.npz', 0
    ends = rng.integers(0, len(whole), 25)
    flips = [int(at) for at in (*rng.integers(0, len(whole), 60), *rng.integers(len(whole) - 900, len(whole), 60))]
    for number in range(len(ends) + len(flips)):
        content = bytearray(whole)
        if number < len(ends):
            del content[ends[number]:]
        else:
            content[flips[number - len(ends)]] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        try:
            body = load_body(path)
        except DataError as error:
            assert error.file == path
            raised += 1
            continue
        assert number >= len(ends)
        for name, buffer in reference.named_buffers():
            assert torch.equal(buffer, dict(body.named_buffers())[name])
    assert raised > len(ends) + 30


def test_what_is_no_archive_is_named(tmp_path):
    for content in (b'', b'not a zip', b'\x80\x04}q\x00.'):
        (tmp_path / 'body.npz').write_bytes(content)
        with pytest.raises(DataError, match='zip archive'):
            load_body(tmp_path / 'body.npz')
    with pytest.raises(DataError, match='nothing at this path'):
        load_body(tmp_path / 'absent.npz')
