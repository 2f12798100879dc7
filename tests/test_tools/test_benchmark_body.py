"""The body benchmark times every case on both sides and compares their answers."""

import json

import pytest

from tests.test_body.body_files import write_body
from tests.test_tools import load_tool

tool = load_tool('analysis_tools/benchmark_body.py')


@pytest.mark.parametrize('family', ['smplx', 'smplh', 'smpl'])
def test_every_case_is_timed_and_compared(family, tmp_path, capsys):
    path = write_body(tmp_path / 'body.npz', family)
    tool.main([str(path), '--batch-size', '3', '--mesh-batch-size', '2', '--repeats', '1', '--json',
               str(tmp_path / 'report.json')])
    rows = json.loads((tmp_path / 'report.json').read_text())
    joints = {'smplx': 55, 'smplh': 52, 'smpl': 24}[family]
    steps = ('forward', 'forward + backward', 'forward + backward through the mesh')
    assert [row['case'] for row in rows] == [*(f'joints, {count} posed, {step}' for count in (22, joints)
                                               for step in steps), 'mesh, forward', 'mesh, losses of VPoser']
    assert all(row['largest_difference'] < 1e-6 and row['speedup'] == row['plain_s'] / row['ours_s'] for row in rows)
    assert '60 vertices' in capsys.readouterr().out


def test_answers_that_differ_are_an_error(tmp_path, monkeypatch):
    path = write_body(tmp_path / 'body.npz')
    honest = tool.PlainBody.__call__

    def shifted(*args):
        vertices, joints = honest(*args)
        return vertices, joints + 2e-5

    monkeypatch.setattr(tool.PlainBody, '__call__', shifted)
    with pytest.raises(SystemExit, match=r'differ by 2\.[0-9]e-05'):
        tool.main([str(path), '--batch-size', '2', '--mesh-batch-size', '2', '--repeats', '1'])
