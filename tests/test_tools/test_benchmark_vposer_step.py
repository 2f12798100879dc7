import json

import pytest

from tests.test_tools import load_tool

tool = load_tool('analysis_tools/benchmark_vposer_step.py')


def _main(body, *options):
    tool.main([str(body), '--batch-size', '4', '--steps', '2', '--warmup', '1', '--poses', '12', *options])


def test_prints_and_writes_what_it_measures(small_body_file, tmp_path, capsys):
    _main(small_body_file, '--json', str(tmp_path / 'f.json'))
    found = json.loads((tmp_path / 'f.json').read_text())
    assert set(found) == {'plain_s', 'ours_s', 'speedup', 'data_share', 'largest_difference'}
    out = capsys.readouterr().out
    assert f'{found["speedup"]:.2f}x' in out and f'{found["data_share"]:.2%}' in out


def test_losses_that_differ_are_an_error(small_body_file, monkeypatch):
    honest = tool.PlainVPoser.loss

    def wrong(self, *args):
        losses = honest(self, *args)
        return {**losses, 'jtr_l1': losses['jtr_l1'] + 2e-5}

    monkeypatch.setattr(tool.PlainVPoser, 'loss', wrong)
    with pytest.raises(SystemExit, match=r'losses differ by 2\.\de-05'):
        _main(small_body_file)
