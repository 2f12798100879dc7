"""The benchmark of generation, at a size of no meaning."""

import json

import pytest

from tests.test_tools import load_tool

tool = load_tool('analysis_tools/benchmark_motion_generation.py')


def _main(body, *args: str) -> None:
    pytest.importorskip('smplx')
    tool.main([str(body), '--batch-size', '2', '--windows', '3', '--repeats', '1', '--num-steps', '2', '--latencies',
               '2', '--num-layers', '1', '--embed-dim', '16', '--ffn-dim', '32', *args])


@pytest.mark.parametrize('options', [(), ('--snap', '--reproject')])
def test_answers_are_equal_and_figures_written(options, small_body_file, tmp_path, capsys):
    _main(small_body_file, *options, '--json', str(tmp_path / 'f.json'))
    found = json.loads((tmp_path / 'f.json').read_text())
    assert found['largest_difference_m'] < tool.TOLERANCE_M and found['meshes_per_window'] >= 17
    assert {f'{way}_fps' for way in ('plain', 'ours', 'half', 'batched')} < set(found)
    assert {'speedup', 'half_speedup', 'batched_speedup'} < set(found)
    assert found['latency']['p50_s'] <= found['latency']['p99_s'] and found['half_difference_m'] < 0.1
    assert {'copy_s', 'ours_1_s', 'plain_1_s', 'products_1_s', 'ours_2_s', 'weights_mb'} < set(found['floor'])
    out = capsys.readouterr().out
    assert f'{found["speedup"]:.2f}x' in out and '14 frames (467 ms of motion)' in out


def test_answers_that_differ_are_an_error(small_body_file, monkeypatch):
    monkeypatch.setattr(tool, 'inertialise', lambda x, first, dt: x)
    with pytest.raises(SystemExit, match='Answers differ'):
        _main(small_body_file)
