"""The benchmark of generation, at a size of no meaning."""

import json

import pytest

from tests.test_tools import load_tool

tool = load_tool('analysis_tools/benchmark_motion_generation.py')


def _main(body, *args: str) -> None:
    pytest.importorskip('smplx')
    tool.main([str(body), '--batch-size', '2', '--windows', '3', '--repeats', '1', '--num-steps', '2', '--latencies',
               '2', '--num-layers', '1', '--embed-dim', '16', '--ffn-dim', '32', *args])


@pytest.mark.parametrize('options', [('--more-threads', '2'), ('--snap', '--reproject', '--unpacked')])
def test_answers_are_equal_and_figures_written(options, small_body_file, tmp_path, capsys):
    _main(small_body_file, *options, '--json', str(tmp_path / 'f.json'))
    found = json.loads((tmp_path / 'f.json').read_text())
    assert found['largest_difference_m'] < tool.TOLERANCE_M and found['meshes_per_window'] >= 17
    more = {'ours_more', 'half_more'} if '--more-threads' in options else set()
    ways = {'plain', 'ours', 'half', 'batched'} | more
    assert {name for name in found if name.endswith(('_fps', '_speedup'))} == {
        f'{way}_{kind}' for way in ways for kind in ('fps', 'speedup')}
    assert found['plain_speedup'] == 1 and found['half_difference_m'] < 0.1
    for latencies in found['latencies'].values():
        assert [latency['threads'] for latency in latencies] == ([1, 2] if more else [1])
        assert all(latency['p50_s'] <= latency['p99_s'] for latency in latencies)
    assert {'copy_s', 'ours_1_s', 'plain_1_s', 'products_1_s', 'ours_2_s', 'weights_mb'} < set(found['floor'])
    out = capsys.readouterr().out
    assert f'{found["ours_speedup"]:.2f}x' in out and '14 frames (467 ms of motion)' in out


def test_answers_that_differ_are_an_error(small_body_file, monkeypatch):
    monkeypatch.setattr(tool, 'inertialise', lambda x, first, dt: x)
    with pytest.raises(SystemExit, match='Answers differ'):
        _main(small_body_file)
