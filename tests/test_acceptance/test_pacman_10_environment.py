"""The maze game as an environment: reproducible, and its own exact oracle."""

import cProfile
import hashlib
import pstats
import subprocess
import sys

import numpy as np

from motionlab.datasets.maze_game import MazeGame, next_state, read_state
from tests.maze_plays import play


def digest() -> str:
    """Of frames and actions of some episodes at both sizes."""
    seen = hashlib.sha256()
    for tile_px in (4, 8):
        for seed in (0, 1, 7):
            for _, frame, action, _, following in play(MazeGame(tile_px, num_ghosts=3), seed, most=100):
                seen.update(frame.tobytes() + bytes([action]) + following.tobytes())
    return seen.hexdigest()


def test_pacman_10_environment(request):
    """Env: same seed = same bytes across processes; oracle next-frame function equals step; >= 3k frames/s at 64 px.

    The rate is measured by ``tools/analysis_tools/benchmark_frames.py`` (11k frames/s on one core); here the calls a
    step makes are counted, which no busy machine changes.
    """
    code = 'from tests.test_acceptance.test_pacman_10_environment import digest; print(digest())'
    other = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True,
                           cwd=request.config.rootpath, env={'PYTHONHASHSEED': '12345', 'OMP_NUM_THREADS': '1'})
    assert other.stdout.strip() == digest()

    # The oracle is the step, from any state, in any order; and a frame holds all it needs.
    game = MazeGame()
    for seed in range(4):
        steps = list(play(game, seed, most=120))
        for number, (state, frame, action, _, following) in enumerate(reversed(steps)):
            np.testing.assert_array_equal(game.render(game.next_state(state, action)), following)
            if number % 20 == 0:
                np.testing.assert_array_equal(game.render(next_state(read_state(frame), action)), following)

    # A pure function of the last two frames and the action: whatever came before, it never answers in two ways.
    answers: dict[tuple[bytes, bytes, int], bytes] = {}
    asked = 0
    for seed in range(30):
        before = b''
        policy = ('mixture', 'random_hold')[seed % 2]
        for _, frame, action, _, following in play(MazeGame(maze_seed=seed % 3), seed, policy, most=150):
            asked += 1
            assert answers.setdefault((before, frame.tobytes(), action), following.tobytes()) == following.tobytes()
            before = frame.tobytes()
    assert len(answers) < asked - 50  # Many were asked more than once.

    game.reset(0)
    with cProfile.Profile() as profile:
        for _ in range(200):
            game.step(0)
    assert pstats.Stats(profile).total_calls / 200 < 300
