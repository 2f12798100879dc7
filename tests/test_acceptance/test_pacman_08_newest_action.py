"""What the newest action does to the next frame; the model's half of this line is in the other test of this number."""

from motionlab.datasets.maze_game import MazeGame
from motionlab.datasets.maze_game.maze import OPPOSITE
from tests.maze_plays import play


def test_pacman_08_newest_action():
    """Permuting action slots changes the output (default embedding); flipping the newest action changes the next
    frame."""
    game, between, asked = MazeGame(), 0, 0
    for seed in range(6):
        for state, _, _, _, _ in play(game, seed, most=150):
            if state.caught or state.finished:
                continue
            asked += 1
            following = {action: game.render(game.next_state(state, action)).tobytes() for action in range(5)}
            assert len(set(following.values())) > 1  # In every situation the action matters,
            if not state.player.at_centre:           # and turning back always does between tiles.
                assert following[OPPOSITE[state.player.facing]] != following[state.player.facing]
                between += 1
    assert asked > 500 and between > 300
