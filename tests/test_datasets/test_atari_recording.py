import builtins

import numpy as np
import pytest

from motionlab.codecs.frame_batch import DOWN, LEFT, NO_ACTION, RIGHT, UP
from motionlab.datasets.atari_recording import INTRO_STEPS, AtariGame, AtariRecording, record_atari
from motionlab.utils import ConfigError


@pytest.mark.parametrize('missing', ['gymnasium', 'ale_py'])
def test_a_missing_package_names_its_extra(missing, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition('.')[0] == missing:
            raise ImportError(f'No module named {name!r}')
        return real(name, *args, **kwargs)

    import importlib
    import_module = importlib.import_module
    monkeypatch.setattr(importlib, 'import_module',
                        lambda name, *args: without(name) if name.partition('.')[0] == missing
                        else import_module(name, *args))
    if missing == 'ale_py':
        pytest.importorskip('gymnasium')
    with pytest.raises(ConfigError, match=rf"{missing} .*pip install 'motionlab\[atari\]'"):
        AtariGame()


def test_options_are_checked():
    for wrong in (dict(game='Pong'), dict(num_frames=0), dict(size=0), dict(seed=-1), dict(hold=0)):
        with pytest.raises(ConfigError, match='expected'):
            AtariRecording(**wrong)


@pytest.mark.parametrize('name', sorted(INTRO_STEPS))
def test_the_introduction_is_exactly_as_long(name):
    pytest.importorskip('gymnasium')
    pytest.importorskip('ale_py')
    game = AtariGame(name, None)
    shape = {'Pacman': (250, 160, 3), 'MsPacman': (210, 160, 3)}[name]

    def run(actions):
        assert game.reset().shape == shape
        return np.stack([game.step(action)[0] for action in actions])

    rest = [NO_ACTION] * 6
    nothing = run([NO_ACTION, *rest])
    moved = {action: (run([action, *rest]) != nothing).any() for action in (LEFT, RIGHT, UP, DOWN)}
    assert moved[RIGHT] and not moved[UP] and not moved[DOWN]  # Walls above and below where both games begin.
    game.intro_steps -= 1
    nothing = run([NO_ACTION, *rest])
    assert all((run([action, *rest]) == nothing).all() for action in (LEFT, RIGHT, UP, DOWN))
    game.close()


def test_a_recording_is_deterministic(tmp_path):
    pytest.importorskip('gymnasium')
    pytest.importorskip('ale_py')
    options = dict(num_frames=90, max_steps=30, size=32)
    stores = [record_atari(tmp_path / str(i), AtariRecording(**options)) for i in range(2)]
    assert stores[0].meta == stores[1].meta and stores[0].frame_size == (32, 32)
    assert stores[0].meta['env']['config']['repeat_action_probability'] == 0.0 and stores[0].meta['fps'] == 15
    assert {name: len(e) for name, e in stores[0].meta['splits'].items()} == {'train': 3, 'val': 1, 'test_seen': 1}
