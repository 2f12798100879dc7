"""A sweep trains and tests what is missing, and only that; failures and signals leave it in order."""

import json
import os
import signal
import sys
import threading

import pytest

from motionlab.apis.sweep_work import slot_environment
from motionlab.utils import ConfigError
from tests.test_tools import load_tool
from tests.test_tools.fake_tools import write_fake_tools
from tests.test_tools.three_sets import write_three_set_config

GRID = ('--variants', 'xy', 'xyc', 'xycd', '--seeds', '0', '1')


@pytest.fixture
def tool():
    return load_tool('sweep.py')


@pytest.fixture
def fake(tool, tmp_path, monkeypatch):
    """The sweep in a folder with a config, on stand-ins for train.py and test.py."""
    write_three_set_config(tmp_path)
    tool.TOOLS = write_fake_tools(tmp_path / 'tools')
    monkeypatch.chdir(tmp_path)
    return tool


def sweep(tool, monkeypatch, *options: str) -> int:
    monkeypatch.setattr(sys, 'argv', ['sweep.py', 'lifter.py', '--work-dir', 'w', *options])
    return tool.main()


def starts(folder):
    return {str(path.parent.name): len(path.read_text()) for path in (folder / 'w').rglob('starts')}


def test_dry_run_starts_nothing(fake, tmp_path, monkeypatch, capsys):
    assert sweep(fake, monkeypatch, *GRID, '--dry-run') == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6 * 3
    assert lines[0] == '[1/6] lifter/synth-9frm-xy-seed0: new'
    assert lines[1] == ('    python tools/train.py lifter.py --work-dir w/lifter/synth-9frm-xy-seed0 --resume '
                        '--cfg-options model.codec.use_confidence=False model.codec.use_depth=False randomness.seed=0')
    assert lines[2].startswith('    python tools/test.py lifter.py w/lifter/synth-9frm-xy-seed0 --work-dir '
                               'w/lifter/synth-9frm-xy-seed0/test --out w/lifter/synth-9frm-xy-seed0/metrics.json')
    assert not (tmp_path / 'w').exists()


def test_runs_all_once_tabulates_and_skips_what_is_done(fake, tmp_path, monkeypatch, capsys):
    assert sweep(fake, monkeypatch, *GRID, '--jobs', '3') == 0
    assert set(starts(tmp_path).values()) == {1} and len(starts(tmp_path)) == 6
    results = json.loads((tmp_path / 'w' / 'results.json').read_text())
    assert (results['complete'], results['of']) == (6, 6)
    cell, = [row for row in results['table'] if (row['variant'], row['test_set'], row['metric']) == (
        'xycd', 'synth', 'MPJPE')]
    assert (cell['mean'], cell['gain_percent'], cell['seen']) == (82.0, pytest.approx(100 * (82 / 102 - 1)), True)
    assert '82.0 ± 2.8 (-19.6 %) *' in (tmp_path / 'w' / 'results.md').read_text()
    assert '82.0 ± 2.8' in capsys.readouterr().out

    assert sweep(fake, monkeypatch, *GRID) == 0
    assert set(starts(tmp_path).values()) == {1}
    assert '82.0 ± 2.8' in capsys.readouterr().out  # The table is there also when nothing is left to do.

    assert sweep(fake, monkeypatch, '--variants', 'xyd', *GRID[1:], '--dry-run') == 0
    states = [line.split(': ')[1] for line in capsys.readouterr().out.splitlines() if line.startswith('[')]
    assert sorted(states) == ['done'] * 6 + ['new'] * 2

    # Deleting weights to save space undoes no result; without a result there is nothing left.
    for path in [*(tmp_path / 'w').rglob('*.pth'), *(tmp_path / 'w').rglob('last_checkpoint')]:
        path.unlink()
    next((tmp_path / 'w').rglob('metrics.json')).unlink()
    assert sweep(fake, monkeypatch, *GRID, '--dry-run') == 0
    states = [line.split(': ')[1] for line in capsys.readouterr().out.splitlines() if line.startswith('[')]
    assert sorted(states) == ['done'] * 5 + ['new']


def test_failures_are_counted_and_the_rest_goes_on(fake, tmp_path, monkeypatch, capsys):
    (tmp_path / 'tools' / 'behaviour').write_text('fail')
    write_fake_tools(tmp_path / 'tools', 'fail')
    options = ('--variants', 'xy', 'xyd', 'xyc', '--seeds', '0')
    config = tmp_path / 'lifter.py'  # Depth off in the base, so that the override names it where it is on.
    config.write_text(config.read_text().replace('use_depth=True', 'use_depth=False'))
    assert sweep(fake, monkeypatch, *options) == 1
    captured = capsys.readouterr()
    assert '1 of 3 runs failed' in captured.err
    log = tmp_path / 'w' / 'lifter' / 'synth-9frm-xyd-seed0' / 'sweep.log'
    assert str(log.relative_to(tmp_path)) in captured.err and 'exit code 1' in captured.err
    assert 'out of memory' in log.read_text()
    assert '2 of 3 runs are complete' in captured.out

    write_fake_tools(tmp_path / 'tools', 'work')
    assert sweep(fake, monkeypatch, *options) == 0
    assert starts(tmp_path) == {'synth-9frm-xy-seed0': 1, 'synth-9frm-xyc-seed0': 1, 'synth-9frm-xyd-seed0': 2}


def test_a_failed_test_is_tried_again_without_training(fake, tmp_path, monkeypatch, capsys):
    (tmp_path / 'tools' / 'test.py').write_text('raise SystemExit(3)')
    assert sweep(fake, monkeypatch, '--variants', 'xy') == 1
    assert 'test ended with exit code 3' in capsys.readouterr().err
    write_fake_tools(tmp_path / 'tools')
    assert sweep(fake, monkeypatch, '--variants', 'xy', '--dry-run') == 0
    assert ': to test' in capsys.readouterr().out
    assert sweep(fake, monkeypatch, '--variants', 'xy') == 0
    assert starts(tmp_path) == {'synth-9frm-xy-seed0': 1}


def test_a_signal_lets_trainings_end_and_the_next_sweep_goes_on(fake, tmp_path, monkeypatch, capsys):
    write_fake_tools(tmp_path / 'tools', 'hang')

    def stop_when_running():
        while len(list((tmp_path / 'w').rglob('epoch_1.pth'))) < 2:
            threading.Event().wait(0.05)
        threading.Event().wait(0.3)  # The signal handler of the stand-in is set right after.
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=stop_when_running)
    thread.start()
    assert sweep(fake, monkeypatch, *GRID, '--jobs', '2') == fake.INTERRUPTED
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before
    assert len(starts(tmp_path)) == 2
    assert sweep(fake, monkeypatch, *GRID, '--dry-run') == 0
    assert capsys.readouterr().out.count(': to resume') == 2
    write_fake_tools(tmp_path / 'tools')
    assert sweep(fake, monkeypatch, *GRID, '--jobs', '2') == 0
    assert sorted(starts(tmp_path).values()) == [1, 1, 1, 1, 2, 2]


def test_other_settings_never_mix_with_what_is_there(fake, tmp_path, monkeypatch, capsys):
    assert sweep(fake, monkeypatch, '--variants', 'xy') == 0
    with pytest.raises(ConfigError, match=r"max_epochs 1 -> 5.*another --work-dir"):
        sweep(fake, monkeypatch, '--variants', 'xy', '--cfg-options', 'train_cfg.max_epochs=5')
    capsys.readouterr()
    # Other test settings ask for another test, other machines for nothing.
    options = ('--variants', 'xy', '--dry-run', '--cfg-options')
    assert sweep(fake, monkeypatch, *options, 'test_dataloader.1.dataset.causal=True') == 0
    assert sweep(fake, monkeypatch, *options, 'train_dataloader.num_workers=2') == 0
    states = [line.split(': ')[1] for line in capsys.readouterr().out.splitlines() if line.startswith('[')]
    assert states == ['to test', 'done']
    (tmp_path / 'w' / 'lifter' / 'synth-9frm-xy-seed0' / 'sweep.json').unlink()
    with pytest.raises(ConfigError, match='no sweep made it'):
        sweep(fake, monkeypatch, '--variants', 'xy')


def test_testing_again_trains_nothing(fake, tmp_path, monkeypatch, capsys):
    assert sweep(fake, monkeypatch, '--variants', 'xy') == 0
    metrics = tmp_path / 'w' / 'lifter' / 'synth-9frm-xy-seed0' / 'metrics.json'
    metrics.write_text('{}')
    assert sweep(fake, monkeypatch, *GRID, '--test') == 0
    assert '5 of 6 runs are not trained yet' in capsys.readouterr().out
    assert starts(tmp_path) == {'synth-9frm-xy-seed0': 1}
    assert json.loads(metrics.read_text())['synth/MPJPE'] == 100


def test_cluster_commands_and_places(tool, tmp_path, monkeypatch):
    config = write_three_set_config(tmp_path)
    run, = tool.expand_runs([str(config)], ['xyc'], None, None, [0])
    place = tool.Place(run, tmp_path / 'w' / run.name)
    train, test = tool.train_command(place, 'gpu'), tool.test_command(place, 'gpu')
    assert train[:2] == ['bash', str(tool.TOOLS / 'slurm_train.sh')]
    assert train[2:7] == ['gpu', 'lifter-synth-9frm-xyc-seed0', str(config), str(place.folder), '--resume']
    assert test[1].endswith('slurm_test.sh') and test[5] == str(place.folder)
    monkeypatch.delenv('GPUS', raising=False)
    env = slot_environment(1, 4, slurm=True)
    assert (env['GPUS'], env['MASTER_PORT'], env['PYTHON']) == ('1', '29501', sys.executable)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '3,5')
    assert [slot_environment(slot, 4, slurm=False)['CUDA_VISIBLE_DEVICES'] for slot in range(3)] == ['3', '5', '3']


def test_really_trains_and_tests(tool, tmp_path, monkeypatch, capsys):
    write_three_set_config(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '-1')
    assert sweep(tool, monkeypatch, '--variants', 'xyc', '--frames', '1',
                 '--cfg-options', 'model.test_flip=False') == 0, capsys.readouterr().err
    metrics = json.loads((tmp_path / 'w' / 'lifter' / 'synth-1frm-xyc-seed0' / 'metrics.json').read_text())
    assert {f'{name}/MPJPE' for name in ('synth', 'near', 'far', 'macro')} <= set(metrics)
    assert sweep(tool, monkeypatch, '--variants', 'xyc', '--frames', '1', '--dry-run',
                 '--cfg-options', 'model.test_flip=False') == 0
    assert ': done' in capsys.readouterr().out
