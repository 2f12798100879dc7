"""Plays of the maze game for tests."""

from collections.abc import Iterator

import numpy as np

from motionlab.datasets.maze_game import MazeGame, MazeState, make_policy


def play(game: MazeGame, seed: int, policy: str = 'mixture',
         most: int = 10_000) -> Iterator[tuple[MazeState, np.ndarray, int, MazeState, np.ndarray]]:
    """(state, frame, action, next state, next frame) of every step of an episode."""
    frame, player = game.reset(seed), make_policy(policy, seed)
    for _ in range(most):
        state = game.get_state()
        action = player(state)
        following, _, terminated, truncated, _ = game.step(action)
        yield state, frame, action, game.get_state(), following
        frame = following
        if terminated or truncated:
            return
