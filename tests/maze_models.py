"""Models of the maze game that need no training: what evaluation says of them is known."""

from pathlib import Path

import numpy as np
import torch

from motionlab.datasets.frame_store import FrameStore
from motionlab.datasets.game_recording import MazeRecording, record_maze_game
from motionlab.datasets.maze_game import next_state, read_state, render


def write_maze_store(folder: Path, num_frames: int = 900, seed: int = 0) -> FrameStore:
    """A small recording with all splits."""
    return record_maze_game(folder, MazeRecording(num_frames=num_frames, num_mazes=2, num_unseen_mazes=1, seed=seed))


def perfect(model, history, actions, **options) -> torch.Tensor:
    """The frames that the rules give: stands in for :func:`motionlab.apis.frame_prediction.predict_frames`."""
    made = []
    for frames, told in zip(history.numpy(), actions.numpy()):
        state, row = read_state(frames[-1]), []
        for action in told[len(frames) - 1:]:
            state = next_state(state, int(action))
            row.append(render(state))
        made.append(np.stack(row))
    return torch.from_numpy(np.stack(made))


def frozen(model, history, actions, **options) -> torch.Tensor:
    """The newest real frame again and again."""
    count = actions.shape[1] - history.shape[1] + 1
    return history[:, -1:].repeat(1, count, 1, 1, 1)


def disobedient(model, history, actions, **options) -> torch.Tensor:
    """What the rules give when nothing is pressed."""
    return perfect(model, history, torch.where(torch.arange(actions.shape[1]) < history.shape[1] - 1, actions, 4))
