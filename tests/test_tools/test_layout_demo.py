import json
from types import SimpleNamespace

import numpy as np
import pytest

from motionlab.apis.layout_evaluation import CONDITIONS, NO_REFERENCES, LayoutReport
from motionlab.models.layout_stages import STAGE_NAMES
from motionlab.utils import MotionLabError
from tests.test_tools import TOOLS, load_tool

DEPTH = ['foreground', 'midground', 'background'] * 100
PARTS = {'base': 0, 'stage 1': 1, 'control': 1, 'stage 2': 2, 'stage 3': 3}
GOOD = {'foreground_iou': 0.6, 'hit': 0.6, 'colour': 0.9, 'similarity': 0.8}
BAD = {'foreground_iou': 0.1, 'hit': 0.01, 'colour': 0.1, 'similarity': 0.65}


def _report(name, gain, changes):
    """A report in which every path matters."""
    noise = np.random.default_rng(0).normal(0, 0.05, 300)

    def scores(condition):
        values = (BAD if condition == NO_REFERENCES else GOOD) | changes
        values['similarity'] += gain - 0.01 * (condition == 'modulation off')
        return {key: np.full(300, value) + noise * (key == 'similarity') for key, value in values.items()}

    conditions = list(CONDITIONS)[:2 + PARTS[name]] if PARTS[name] else [NO_REFERENCES]
    alpha = np.array([{'foreground': 0.9, 'midground': 0.5, 'background': 0.1}[label] for label in DEPTH])
    return LayoutReport({condition: scores(condition) for condition in conditions}, DEPTH,
                        alpha if PARTS[name] else alpha[:0], 'scenes', 120)


def good_reports(**changes):
    """Reports with which every bar holds, but for scores of single models."""
    return {name: _report(name, 0.08 * (PARTS[name] >= 2), changes.get(name.replace(' ', '_'), {})) for name in PARTS}


def failing_bars(demo, reports, seconds=None):
    """Titles of what does not hold, and of all."""
    table = demo.judge(reports, demo.difference_rows(reports), seconds or {'stage 2': 400, 'control': 390})
    titles, *_, holds = (list(column.cells) for column in table.columns)
    return [title for title, each in zip(titles, holds) if each == 'NO'], titles


@pytest.fixture
def demo():
    return load_tool('layout_demo.py')


@pytest.fixture
def commands(demo, monkeypatch, tmp_path):
    """What would be run; trainings leave a checkpoint, and evaluations a report."""
    said = []

    def run(words, cwd, env, check, **streams):
        said.append(words[1:])
        name = next((name for name, run in demo.RUNS.items() if any(run in word for word in words[:4])), None)
        if words[1] == 'tools/train_stage.py':
            name = 'base' if words[2] == '0' else f'stage {words[2]}'
        if words[1] == 'tools/layout_generation.py':
            good_reports()[name].write(words[words.index('--out') + 1])
        else:
            checkpoints.append(name)
        threads.append(env['OMP_NUM_THREADS'])
        return SimpleNamespace(returncode=int(name == failing[0]))

    checkpoints, failing, threads = [], [None], []
    monkeypatch.setattr(demo, 'subprocess', SimpleNamespace(run=run, STDOUT=-2))
    monkeypatch.setattr(demo, 'bound_rows', lambda num_images: {'data': {}})
    monkeypatch.setattr(demo.Demo, 'latest', lambda self, name: self.work_dir(name) / f'iter_{checkpoints.count(name)}')
    return SimpleNamespace(said=said, failing=failing, threads=threads)


def test_every_step(demo, commands, tmp_path, capsys):
    demo.main(['--work-root', str(tmp_path), '--', '--num', '7'])
    tools = [words[0] for words in commands.said]
    assert tools == ['tools/train_stage.py'] * 2 + tools[2:4] + ['tools/train_stage.py'] + \
        ['tools/layout_generation.py'] * 5
    assert set(tools[2:4]) == {'tools/train_stage.py', 'tools/train.py'}
    control = next(words for words in commands.said if words[0] == 'tools/train.py')
    assert control[control.index('--finetune') + 1].endswith('stage1_1xb32_scenes64/iter_1')
    assert all(words[-2:] == ['--num', '7'] for words in commands.said[5:])
    assert commands.threads == ['2', '2', '1', '1', '2', '1', '1', '1', '1', '2']  # Two cores, shared out.
    said = capsys.readouterr().out
    for words in ('stage 3, feedback off', 'stage 2 - control', 'What must hold', 'Minutes of training'):
        assert words in said
    assert set(json.loads((tmp_path / 'layout_demo/seconds.json').read_text())) == set(demo.RUNS)


def test_a_command_that_fails_ends_it_by_name(demo, commands, tmp_path):
    commands.failing[0] = 'control'
    with pytest.raises(MotionLabError, match=r'"Train control" ended with return code 1.*Train_control\.log'):
        demo.main(['--work-root', str(tmp_path)])
    assert len(commands.said) == 4  # Stage 2 was waited for.


def test_training_times_add_up(demo, commands, tmp_path):
    demo.make_folder(tmp_path / 'out')
    (tmp_path / 'out/seconds.json').write_text('{"base": 100}')
    own = demo.Demo(tmp_path, tmp_path / 'out')
    own.train('base')
    assert own.seconds['base'] >= 100
    own.latest = lambda name: 'same'  # A finished run is not trained any more.
    before = dict(own.seconds)
    own.train('base')
    assert own.seconds == before


def test_the_configs_are_there(demo):
    for name, run in demo.RUNS.items():
        assert (TOOLS.parent / demo.CONFIGS / f'{run}.py').is_file(), name
    assert len(STAGE_NAMES) == 4
