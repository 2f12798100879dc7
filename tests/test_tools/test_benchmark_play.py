import json

import pytest

from tests.test_tools import load_tool
from tests.test_tools.test_play import CONFIG, OPTIONS


def test_benchmark(tmp_path, capsys):
    pytest.importorskip('diffusers')
    options = [each for each in OPTIONS if 'normalise' not in each][OPTIONS.index('--steps'):]
    assert load_tool('analysis_tools/benchmark_play.py').main(
        [CONFIG, '--frames', '3', '--threads', '1', '--json', str(tmp_path / 'b.json'), *options]) == 0
    report = json.loads((tmp_path / 'b.json').read_text())
    assert all(milliseconds > 0 for milliseconds in report['parts_ms'].values()) and len(report['parts_ms']) == 5
    for name in ('session', 'server'):
        assert report[name]['best_fps'] >= report[name]['fps'] > 0
    said = capsys.readouterr().out
    for words in ('solver', 'PNG of both games', 'over HTTP', 'CPU time'):
        assert words in said
