import numpy as np
import pytest

from motionlab.codecs.frame_batch import DOWN, LEFT, NO_ACTION, NONE, RIGHT, UP
from motionlab.datasets.atari_recording import AtariGame, AtariRecording, record_atari

PLAYER = (252, 224, 144)  # RGB


def test_pacman_16_atari(tmp_path):
    """ALE importer (skipped when absent): sticky off, intro skipped, action map right, T+1 frames."""
    gymnasium = pytest.importorskip('gymnasium')
    pytest.importorskip('ale_py')
    store = record_atari(tmp_path / 'pacman', AtariRecording('Pacman', num_frames=100, size=None, max_steps=40))
    assert store.frame_size == (250, 160) and store.meta['action_names'] == ['LEFT', 'RIGHT', 'UP', 'DOWN', 'NO_ACTION']

    # T + 1 frames of T actions; 255 on the last only.
    for episode in range(store.num_episodes):
        actions = store.actions[store.episode(episode)]
        assert actions[-1] == NONE and (actions[:-1] < 5).all() and len(actions) <= 41

    # Sticky actions are off, and the recorded actions cause the recorded frames: an emulator of its own with ALE's
    # numbers of the same names repeats them, whatever its seed.
    env = gymnasium.make('ALE/Pacman-v5', frameskip=1, repeat_action_probability=0.0).unwrapped
    names = env.get_action_meanings()
    theirs = {LEFT: names.index('LEFT'), RIGHT: names.index('RIGHT'), UP: names.index('UP'),
              DOWN: names.index('DOWN'), NO_ACTION: names.index('NOOP')}
    env.reset(seed=123)
    made_by, intro = store.meta['episodes'][0], store.meta['env']['config']['intro_steps']
    for action in [NO_ACTION] * intro + made_by['skipped']:
        last_two = [env.step(theirs[action])[0] for _ in range(4)][-2:]
    rows = store.episode(0)
    np.testing.assert_array_equal(np.maximum(*last_two), store.frames[rows.start])
    for row in range(rows.start, rows.stop - 1):
        last_two = [env.step(theirs[int(store.actions[row])])[0] for _ in range(4)][-2:]
        np.testing.assert_array_equal(np.maximum(*last_two), store.frames[row + 1])
    assert env.ale.getFloat('repeat_action_probability') == 0.0
    env.close()

    # The introduction is over where a recording begins, and keys go where they say.
    game, ends = AtariGame('Pacman', None), {}
    for action in (LEFT, RIGHT):
        np.testing.assert_array_equal(game.reset(), store.frames[0])
        for pressed in [action] + [NO_ACTION] * 7:
            ends[action] = game.step(pressed)[0]
    game.close()
    columns = {action: np.nonzero((frame == PLAYER).all(-1) & (ends[LEFT] != ends[RIGHT]).any(-1))[1].mean()
               for action, frame in ends.items()}
    assert columns[LEFT] < columns[RIGHT] - 10
