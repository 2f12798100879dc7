import json
import sys
from pathlib import Path

import matplotlib.image
import pytest
from mmengine.config import Config

from motionlab.utils import ConfigError
from tests.motion_models import run_config, write_motion_splits
from tests.test_tools import load_tool

NAMES = [f'train-16frm-{variant}-seed0' for variant in ('velocity', 'acceleration')]


@pytest.fixture
def tool(tmp_path, monkeypatch, small_body_file):
    """The comparison in a folder with a config and data that take seconds."""
    cfg = run_config(write_motion_splits(tmp_path / 'data'), small_body_file, train_cfg__max_epochs=1)
    Config(dict(cfg._cfg_dict)).dump(tmp_path / 'small.py')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '-1')
    return load_tool('compare_motion_variants.py')


def _run(tool, monkeypatch, *options):
    monkeypatch.setattr(sys, 'argv', ['compare_motion_variants.py', 'small.py', '--seeds', '0', '--limit', '1',
                                      '--steps', '1', '--work-dir', 'w', *options])
    return tool.main()


def test_dry_run_starts_nothing(tool, tmp_path, monkeypatch, capsys):
    assert _run(tool, monkeypatch, '--dry-run') == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f'[1/2] small/{NAMES[0]}: new' and len(lines) == 6
    assert 'tools/train.py small.py' in lines[4] and 'model.codec.order=2 randomness.seed=0' in lines[4]
    assert 'tools/motion_generation.py evaluate small.py' in lines[5] and '--limit 1 --steps 1' in lines[5]
    assert not (tmp_path / 'w').exists()


def test_what_ends_in_nothing_is_refused_first(tool, tmp_path, monkeypatch):
    tool.work = None  # Not called.
    with pytest.raises(SystemExit):
        _run(tool, monkeypatch, '--seeds', '-1')
    with pytest.raises(ConfigError, match='no test_dataloader'):
        _run(tool, monkeypatch, '--cfg-options', 'test_dataloader=None')
    with pytest.raises(ConfigError, match='num_steps=51'):
        _run(tool, monkeypatch, '--steps', '51')
    (tmp_path / 'w').touch()
    with pytest.raises(ConfigError, match='w: cannot be made'):
        _run(tool, monkeypatch)


def in_process(todo, worker):
    """Does what the worker does, without waiting for processes that import everything again."""
    for place in todo:
        place.record()
        for command in (worker.train_command(place), worker.test_command(place)):
            sys.argv = command[1:]
            assert not load_tool(Path(command[1]).name).main()
        place.trained = place.tested = True
        place.record()
    return {}, False


def test_trains_evaluates_and_tabulates_once(tool, tmp_path, monkeypatch, capsys):
    tool.work = in_process
    assert _run(tool, monkeypatch) == 0
    said = capsys.readouterr().out
    for words in ('2 of 2 runs are complete', 'val fk', 'velocity error under control', 'frames per second'):
        assert words in said
    results = json.loads((tmp_path / 'w/results.json').read_text())
    assert [run['variant'] for run in results['runs']] == ['velocity', 'acceleration']
    assert '| skating (share) |' in (tmp_path / 'w/results.md').read_text()
    strip = matplotlib.image.imread(tmp_path / 'w/strips.png')
    assert strip.shape[:2] == (6 * 182, 9 * 160)  # One free motion and two under control, of both.
    before = {path: path.stat().st_mtime for path in (tmp_path / 'w').rglob('*.pth')}
    assert _run(tool, monkeypatch) == 0 and '2 of 2' in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime for path in (tmp_path / 'w').rglob('*.pth')}
    assert _run(tool, monkeypatch, '--dry-run') == 0
    assert capsys.readouterr().out.splitlines() == [f'[{number}/2] small/{name}: done'
                                                   for number, name in enumerate(NAMES, start=1)]
