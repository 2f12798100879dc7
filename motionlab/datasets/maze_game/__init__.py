"""A small maze game with an exact oracle: the embedded data of frame prediction."""

from motionlab.datasets.maze_game.drawing import render
from motionlab.datasets.maze_game.game import MazeGame
from motionlab.datasets.maze_game.locating import IMAGINED, Located, in_wall, locate, read_state
from motionlab.datasets.maze_game.policies import POLICIES, make_policy
from motionlab.datasets.maze_game.rules import next_state, start_state
from motionlab.datasets.maze_game.state import MazeState, Mover

__all__ = ['IMAGINED', 'POLICIES', 'Located', 'MazeGame', 'MazeState', 'Mover', 'in_wall', 'locate', 'make_policy',
           'next_state', 'read_state', 'render', 'start_state']
