"""The benchmark of references compares what a loop over references makes with what is made at once."""

import json

import pytest

from tests.test_tools import load_tool

tool = load_tool('analysis_tools/benchmark_references.py')
ARGS = ['--sizes', 'tiny', '--references', '6', '--repeats', '1']


def test_both_sides_agree_and_padding_is_timed(tmp_path, capsys):
    pytest.importorskip('diffusers')
    tool.main([*ARGS, '--json', str(tmp_path / 'report.json')])
    (row,) = json.loads((tmp_path / 'report.json').read_text())
    assert row['speedup'] == row['loop_s'] / row['ours_s'] and row['largest_difference'] < 1e-5
    assert list(row['padded']) == ['6', '24', '96'] and row['padded']['6'] == row['ours_s']
    assert '6 references at batch 2' in capsys.readouterr().out


def test_answers_that_differ_are_an_error(monkeypatch):
    pytest.importorskip('diffusers')
    honest = tool.blend_visual
    monkeypatch.setattr(tool, 'blend_visual', lambda *args: honest(*args) + 0.01)
    with pytest.raises(SystemExit, match='The answers differ by'):
        tool.main(ARGS)
