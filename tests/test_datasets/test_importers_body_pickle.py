"""Vendor pickles become .npz files with the same numbers; nothing in them is run, damage has a name."""

import os
import pickle

import numpy as np
import pytest
import torch

from motionlab.body import load_body
from motionlab.datasets.importers.body_pickle import convert_body_pickle
from motionlab.utils import DataError
from tests.test_datasets.body_pickles import (
    ch,
    instance,
    python2_pickle,
    smpl_arrays,
    smpl_pickle,
    sparse,
    vendor_class,
)


def _load(path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as data:
        return {key: data[key] for key in data}


@pytest.mark.parametrize('protocol', [0, 1, 2])
def test_smpl_of_python_2(monkeypatch, tmp_path, protocol):
    arrays = smpl_arrays()
    source = tmp_path / 'basicModel_f_lbs_10_207_0_v1.0.0.pkl'
    content = smpl_pickle(monkeypatch, arrays)
    source.write_bytes(pickle.dumps(content, protocol) if protocol < 2 else python2_pickle(content))
    made = convert_body_pickle(source, tmp_path / 'out' / 'SMPL_FEMALE.npz', version='v1.0')
    written = _load(tmp_path / 'out' / 'SMPL_FEMALE.npz')
    for key, expected in arrays.items():
        np.testing.assert_array_equal(written.pop(key), expected)
    assert written == {'gender': 'female', 'version': 'v1.0'}
    assert made.ignored == ('J', 'J_regressor_prior', 'bs_style', 'bs_type')
    assert 'smpl female v1.0: 6 vertices' in made.description and 'SMPL_FEMALE.npz' in made.description
    assert os.listdir(tmp_path / 'out') == ['SMPL_FEMALE.npz']
    body = load_body(tmp_path / 'out' / 'SMPL_FEMALE.npz', dtype=torch.float64)
    torch.testing.assert_close(body.joints().view(24, 3),
                               torch.from_numpy(arrays['J_regressor'] @ arrays['v_template']))


@pytest.mark.parametrize('joints', [52, 55])
def test_smplh_and_smplx_of_python_3(monkeypatch, tmp_path, joints):
    arrays, rng = smpl_arrays(joints=joints), np.random.default_rng(1)
    hands = {'hands_componentsl': rng.normal(size=(45, 45)), 'hands_meanl': rng.normal(size=45),
             'hands_componentsr': rng.normal(size=(45, 45)), 'hands_meanr': rng.normal(size=45)}
    extra = {'part2num': {'head': 1}, 'kintree_table': arrays['kintree_table'].astype(float)}
    content = smpl_pickle(monkeypatch, arrays | (hands if joints == 55 else {}), **extra)
    (tmp_path / 'a.pkl').write_bytes(pickle.dumps(content, 4))
    mano = {}
    if joints == 52:
        for side in 'lr':
            one = {'hands_components': hands[f'hands_components{side}'], 'hands_coeffs': rng.normal(size=(9, 45)),
                   'hands_mean': ch(monkeypatch, hands[f'hands_mean{side}'])}
            (tmp_path / f'{side}.pkl').write_bytes(python2_pickle(one))
        mano = dict(left_hand=tmp_path / 'l.pkl', right_hand=tmp_path / 'r.pkl')
    made = convert_body_pickle(tmp_path / 'a.pkl', tmp_path / 'b.npz', gender='male', **mano)
    written = _load(tmp_path / 'b.npz')
    for key, expected in (arrays | hands).items():
        np.testing.assert_array_equal(written[key], expected)
    assert 'part2num' in made.ignored and written['kintree_table'].dtype == np.int64
    assert load_body(tmp_path / 'b.npz').num_joints == joints


def test_hands_belong_to_smplh(monkeypatch, tmp_path):
    (tmp_path / 'a.pkl').write_bytes(pickle.dumps(smpl_pickle(monkeypatch, smpl_arrays()), 2))
    with pytest.raises(DataError, match='both, left and right'):
        convert_body_pickle(tmp_path / 'a.pkl', tmp_path / 'b.npz', left_hand=tmp_path / 'l.pkl')
    with pytest.raises(DataError, match='SMPL has none'):
        convert_body_pickle(tmp_path / 'a.pkl', tmp_path / 'b.npz', left_hand='l.pkl', right_hand='r.pkl')
    mano = {'hands_components': np.eye(45), 'hands_mean': np.zeros(45), 'hands_coeffs': np.zeros((2, 45))}
    (tmp_path / 'l.pkl').write_bytes(pickle.dumps(mano, 2))
    with pytest.raises(DataError, match='pass it beside an SMPL-H body'):
        convert_body_pickle(tmp_path / 'l.pkl', tmp_path / 'b.npz')
    (tmp_path / 'h.pkl').write_bytes(pickle.dumps(smpl_arrays(joints=52), 2))
    (tmp_path / 'r.pkl').write_bytes(pickle.dumps(mano | {'hands_mean': np.zeros(6)}, 2))
    with pytest.raises(DataError, match=r'r\.pkl: hands_mean: found shape \(6,\)'):
        convert_body_pickle(tmp_path / 'h.pkl', tmp_path / 'b.npz', left_hand=tmp_path / 'l.pkl',
                            right_hand=tmp_path / 'r.pkl')
    assert not (tmp_path / 'b.npz').exists()


class _Runs:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


def _bad_contents(monkeypatch):
    arrays = smpl_arrays()
    regressor = arrays['J_regressor']
    chumpy = vendor_class(monkeypatch, 'chumpy.ch.Ch')
    yield 'a command', {'v_template': _Runs(os.system, 'touch EVIL')}, 'system is asked for'
    yield 'a command inside chumpy', {'shapedirs': ch(monkeypatch, _Runs(os.system, 'touch EVIL'))}, 'system'
    yield 'a loader of scipy', {'weights': _Runs(np.load, 'a.npy')}, 'load'
    yield 'a call of chumpy', {'weights': _Runs(chumpy, 1)}, 'positional argument'
    yield 'an unknown operation', {'weights': instance(monkeypatch, 'chumpy.ch_ops.add', a=1, b=2)}, 'chumpy.ch_ops.add'
    yield 'chumpy without content', {'weights': instance(monkeypatch, 'chumpy.ch.Ch', y=1)}, "KeyError: 'x'"
    outside = np.full(np.count_nonzero(regressor), 10**6, np.int32)
    for name, part in (('indices', outside), ('indptr', np.array([0, 9, 2, 3, 4, 5, 99])), ('_shape', (10**9, 10**9))):
        yield f'bad {name}', {'J_regressor': sparse(monkeypatch, regressor, **{name: part})}, 'key J_regressor'
    yield 'a selection outside', {'posedirs': instance(
        monkeypatch, 'chumpy.reordering.Select', a=arrays['posedirs'], idxs=np.array([10**9]))}, 'outside its'
    yield 'text for numbers', {'weights': 'lbs'}, 'key weights: found TypeError: a str'
    yield 'broken indices', {'f': arrays['f'] + .5}, 'not whole'
    yield 'another number of vertices', {'weights': arrays['weights'][:-1]}, r'a\.pkl: weights: found shape \(5, 24\)'
    yield 'not a number', {'v_template': arrays['v_template'] * np.nan}, 'v_template: found 18 values not finite'


def test_bad_content_is_refused_and_never_run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name, changed, message in _bad_contents(monkeypatch):
        (tmp_path / 'a.pkl').write_bytes(pickle.dumps(smpl_arrays() | changed, 2))
        with pytest.raises(DataError, match=message) as caught:
            convert_body_pickle('a.pkl', 'b.npz')
        assert 'a.pkl' in str(caught.value), name
        assert os.listdir(tmp_path) == ['a.pkl'], name


def test_missing_keys_and_other_pickles(tmp_path):
    arrays = smpl_arrays()
    del arrays['posedirs']
    for content, message in ((arrays, 'key posedirs: found only'), ([1, 2], 'found list')):
        (tmp_path / 'a.pkl').write_bytes(pickle.dumps(content, 2))
        with pytest.raises(DataError, match=message):
            convert_body_pickle(tmp_path / 'a.pkl', tmp_path / 'b.npz')
    with pytest.raises(DataError, match='nothing at this path'):
        convert_body_pickle(tmp_path / 'c.pkl', tmp_path / 'b.npz')


def test_truncated_and_mutated_pickles_give_the_named_error(monkeypatch, tmp_path):
    raw = python2_pickle(smpl_pickle(monkeypatch, smpl_arrays(vertices=6)))
    # Arrays fill nearly all of the file; structure is where bytes mean something.
    rng = np.random.default_rng(0)
    structure = np.concatenate([np.arange(0, 600), np.arange(len(raw) - 6000, len(raw))])
    cases = [raw[:cut] for cut in (0, 1, 2, 50, *rng.integers(0, len(raw), 20))]
    cases += [raw[:at] + bytes([rng.integers(256)]) + raw[at + 1:] for at in rng.choice(structure, 250)]
    errors = 0
    for content in cases:
        (tmp_path / 'a.pkl').write_bytes(content)
        try:
            convert_body_pickle(tmp_path / 'a.pkl', tmp_path / 'b.npz')
        except DataError as error:
            errors += 1
            assert 'a.pkl' in str(error)
        assert set(os.listdir(tmp_path)) <= {'a.pkl', 'b.npz'}
    assert errors > 100
