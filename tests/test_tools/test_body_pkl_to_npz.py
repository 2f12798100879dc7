"""Vendor pickles from the command line."""

import pickle

import pytest

from motionlab.utils import DataError
from tests.test_datasets.body_pickles import smpl_arrays, smpl_pickle
from tests.test_tools import load_tool

tool = load_tool('model_converters/body_pkl_to_npz.py')


def test_converts_and_reports(monkeypatch, tmp_path, capsys):
    source = tmp_path / 'SMPL_MALE.pkl'
    source.write_bytes(pickle.dumps(smpl_pickle(monkeypatch, smpl_arrays()), 2))
    tool.main([str(source), str(tmp_path / 'out.npz'), '--version', 'v1.0'])
    report = capsys.readouterr().out
    assert 'smpl male v1.0: 6 vertices, 24 joints' in report
    assert 'left out (4): J, J_regressor_prior, bs_style, bs_type' in report
    source.write_bytes(source.read_bytes()[:100])
    with pytest.raises(DataError, match=r'SMPL_MALE\.pkl: pickle: found'):
        tool.main([str(source), str(tmp_path / 'bad.npz')])
    assert not (tmp_path / 'bad.npz').exists()
