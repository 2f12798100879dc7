"""The clip benchmark compares answers that must agree and reports every way."""

import json

import pytest

from tests.test_tools import load_tool

tool = load_tool('analysis_tools/benchmark_clip_inference.py')

_SMALL = {'TCN-9': dict(type='TCN', kernel_sizes=(3, 3), channels=8),
          'PoseFormer-5': dict(type='PoseFormer', num_frames=5, embed_dim=8, spatial_depth=1, temporal_depth=1)}


def test_every_way_is_timed_and_compared(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tool, 'NETWORKS', _SMALL)
    path = tmp_path / 'report.json'
    tool.main(['--networks', *_SMALL, '--frames', '40', '--windows', '12', '--batch-sizes', '4', '12', '--repeats', '1',
               '--json', str(path)])
    report = json.loads(path.read_text())
    ways = {name: [row['way'] for row in found['per_window']] for name, found in report.items()}
    assert ways == {'TCN-9': ['dilated window'] * 2 + ['strided window'] * 2, 'PoseFormer-5': ['window'] * 2}
    assert all(found['largest_difference_m'] < 1e-5 < found['largest_answer_m'] for found in report.values())
    assert 'dense is faster' in capsys.readouterr().out


def test_answers_that_differ_are_an_error(monkeypatch):
    monkeypatch.setattr(tool, 'NETWORKS', {'TCN-9': _SMALL['TCN-9']})
    honest = tool._run_dilated
    monkeypatch.setattr(tool, '_run_dilated', lambda lifter, windows: honest(lifter, windows) + 2e-5)
    with pytest.raises(SystemExit, match=r'differ by 2\.0e-05 m'):
        tool.main(['--networks', 'TCN-9', '--frames', '20', '--windows', '4', '--repeats', '1'])
