import subprocess
import sys

import numpy as np
import pytest

from motionlab.datasets.maze_game import MazeGame
from motionlab.utils import ConfigError

HIDDEN = "import sys; sys.modules['gymnasium'] = None\n"


@pytest.fixture
def env_class():
    pytest.importorskip('gymnasium', reason='gymnasium is not installed (extra game)')
    from motionlab.datasets.maze_game.gymnasium_env import MazeGameEnv
    return MazeGameEnv


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('tile_px', [4, 8])
def test_passes_the_checks_of_gymnasium(env_class, tile_px):
    from gymnasium.utils.env_checker import check_env
    check_env(env_class(render_mode='rgb_array', tile_px=tile_px, max_ticks=20))


def test_plays_the_same_game(env_class):
    env, game = env_class(render_mode='rgb_array', maze_seed=3), MazeGame(maze_seed=3)
    frame, _ = env.reset(seed=7)
    np.testing.assert_array_equal(frame, game.reset(7))
    for action in (0, 0, 2, 4, 1):
        mine, theirs = env.step(np.int64(action)), game.step(action)
        np.testing.assert_array_equal(mine[0], theirs[0])
        np.testing.assert_array_equal(env.render(), theirs[0])
        assert mine[1:] == theirs[1:]


def test_episodes_without_a_seed_go_on_in_sequence(env_class):
    def mazes():
        env = env_class()
        env.reset(seed=1)
        return [env.reset()[0].tobytes() for _ in range(3)]
    first, again = mazes(), mazes()
    assert first == again and len(set(first)) == 3


def test_unknown_render_mode(env_class):
    with pytest.raises(ConfigError, match='render_mode'):
        env_class(render_mode='human')


def test_without_gymnasium_the_game_works_and_the_wrapper_names_the_extra():
    code = (HIDDEN + 'from motionlab.datasets.maze_game import MazeGame\nMazeGame().reset(0)\n'
            'from motionlab.utils import ConfigError\n'
            'try:\n    import motionlab.datasets.maze_game.gymnasium_env\n'
            "except ConfigError as error:\n    print(error)\n")
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert 'motionlab[game]' in done.stdout
