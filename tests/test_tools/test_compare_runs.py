"""Scalar logs are compared step by step; torn logs are told from wrong ones."""

import json

import pytest

from motionlab.engine.curves import find_scalars, read_curves
from motionlab.utils import DataError
from tests.test_tools import load_tool

tool = load_tool('analysis_tools/compare_runs.py')
logs = load_tool('analysis_tools/analyze_logs.py')


@pytest.fixture
def make_run(tmp_path):
    def _make(name, losses, score=9.5, tail=''):
        file = tmp_path / name / 'logs' / 'scalars.json'
        file.parent.mkdir(parents=True)
        lines = [{'loss': loss, 'time': 0.1 * step, 'epoch': 1 + step // 2, 'iter': step, 'step': step}
                 for step, loss in enumerate(losses)]
        lines.append({'MPJPE': score, 'step': len(losses)})
        file.write_text('\n'.join(map(json.dumps, lines)) + '\n' + tail)
        return str(tmp_path / name)
    return _make


def test_equal_runs_agree_whatever_their_speed(make_run, capsys):
    first, second = make_run('a', [3, 2, 1]), make_run('b', [3, 2, 1])
    assert tool.main([first, second, '--tol', '0']) == 0
    assert '2 scalars agree' in capsys.readouterr().out


@pytest.mark.parametrize(('losses', 'tol', 'code'), [
    ([3, 2.5, 1], 0.1, 1),    # differs in between only
    ([3, 2.5, 1], 0.3, 0),    # 0.5 of 2.5
    ([3, 2], 10, 1),          # a step is missing
    ([3, 2, None], 10, 1),    # diverged
])
def test_differences_decide_the_exit_code(losses, tol, code, make_run):
    assert tool.main([make_run('a', [3, 2, 1]), make_run('b', losses), '--tol', str(tol)]) == code


def test_keys_and_three_runs(make_run, capsys):
    runs = [make_run('a', [3, 2, 1]), make_run('b', [0, 0, 0]), make_run('c', [3, 2, 1], score=9.75)]
    assert tool.main([*runs, '--tol', '0.03', '--keys', 'MPJPE']) == 0  # 0.25 of 9.75
    assert tool.main([*runs, '--tol', '0.02', '--keys', 'MPJPE']) == 1
    assert tool.main([*runs, '--tol', '9', '--keys', 'nothing']) == 1
    assert 'in no run: nothing' in capsys.readouterr().out
    assert tool.main(runs) == 0


def test_pictures(make_run, tmp_path):
    runs = [make_run('a', [3, 2, 1]), make_run('b', [3, 2.2, 1])]
    tool.main([*runs, '--out', str(tmp_path / 'new' / 'compare.png')])
    assert (tmp_path / 'new' / 'compare.png').stat().st_size > 1000
    logs.main(['plot_curve', *runs, '--keys', 'loss', '--legend', 'one', 'two', '--out', str(tmp_path / 'plot.png')])
    assert (tmp_path / 'plot.png').stat().st_size > 1000
    with pytest.raises(DataError, match=r"found lss, expected one of \['MPJPE', 'loss', 'time'\]"):
        logs.main(['plot_curve', *runs, '--keys', 'lss', '--out', str(tmp_path / 'plot.png')])


def test_train_time(make_run, capsys):
    run = make_run('a', [3, 2, 1, 0])
    logs.main(['cal_train_time', run, '--include-outliers'])
    assert '0.1500 s/iter over 2 epochs (slowest epoch 2: 0.2500, fastest epoch 1: 0.0500' in capsys.readouterr().out
    logs.main(['cal_train_time', run])
    assert '0.2000 s/iter over 2 epochs (slowest epoch 2: 0.3000' in capsys.readouterr().out


def test_log_cut_off_by_a_crash_is_read(make_run):
    assert read_curves(make_run('a', [3, 2], tail='{"loss": 1, "st'))['loss'] == {0: 3.0, 1: 2.0}


def test_wrong_logs_are_named(make_run, tmp_path):
    run = make_run('a', [3], tail='garbage\n{"loss": 1, "step": 2}\n')
    with pytest.raises(DataError, match=r'scalars\.json: line 3: found .*garbage'):
        read_curves(run)
    with pytest.raises(DataError, match=r'logs/scalars\.json'):
        find_scalars(tmp_path)
