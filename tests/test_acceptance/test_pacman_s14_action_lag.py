"""Trap 14 of the specification: conditioning a frame on the action taken after it."""

import numpy as np

from motionlab.datasets.frame_window_dataset import FrameWindowDataset
from motionlab.datasets.game_recording import MazeRecording, record_maze_game
from motionlab.datasets.maze_game import next_state, read_state, render


def test_pacman_s14_action_lag(tmp_path):
    """Test on the oracle that a flipped newest action changes the next frame, an older one does not (when the state is
    known)."""
    record_maze_game(tmp_path / 'maze', MazeRecording(num_frames=1200, num_mazes=2, num_unseen_mazes=0, max_ticks=200))
    data = FrameWindowDataset('maze', tmp_path, num_history=3)
    batch = data.__getitems__(np.arange(0, len(data), 9).tolist())
    history, target, actions = (np.asarray(batch[key]) for key in ('history', 'target', 'actions'))
    newest = older = flipped = 0
    for frames, wanted, row in zip(history, target, actions):
        state = read_state(frames[-1])
        reached = [(render(next_state(state, action), 4) == wanted).all() for action in range(5)]
        newest += reached[row[-1]]
        older += reached[row[-2]]  # One slot late: right only where both do the same.
        flipped += not all(reached)
        # What an older action did is in the newest frame: from there on it changes nothing.
        one_back = next_state(read_state(frames[-2]), int(row[-2]))
        assert (one_back.player, one_back.ghosts, one_back.pellets) == (state.player, state.ghosts, state.pellets)
    assert newest == len(target) > 80
    assert older < 0.98 * len(target)
    assert flipped > 0.95 * len(target)  # All but steps back to the start after being caught.
