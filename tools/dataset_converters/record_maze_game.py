"""Record the maze game, the embedded data of frame prediction, into a store:

    python tools/dataset_converters/record_maze_game.py data/maze_game/maze64 --frames 50000

Splits: train, val and test_seen play in --mazes mazes, test_unseen in --unseen-mazes others. The same options give the
same bytes. Run again after an interruption: what is recorded is not played again.
"""

import argparse
import dataclasses
from pathlib import Path

from motionlab.datasets.frame_summary import print_store
from motionlab.datasets.game_recording import MazeRecording, record_maze_game
from motionlab.datasets.maze_game import POLICIES
from motionlab.engine.cli import run_tool


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    default = {field.name: field.default for field in dataclasses.fields(MazeRecording)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path, help='folder to write')

    def option(name: str, field: str, text: str, kind: type = int) -> None:
        parser.add_argument(name, dest=field, type=kind, default=default[field], metavar='N',
                            help=f'{text} (default {default[field]})')

    option('--frames', 'num_frames', 'frames of all splits')
    option('--tile-px', 'tile_px', '4: 64 x 64 pixels, 8: 128 x 128')
    option('--mazes', 'num_mazes', 'mazes of train, val and test_seen')
    option('--unseen-mazes', 'num_unseen_mazes', 'other mazes, of test_unseen')
    option('--seed', 'seed', 'of mazes and players')
    parser.add_argument('--policy', choices=sorted(POLICIES), default=default['policy'],
                        help=f'who plays (default {default["policy"]})')
    option('--ghosts', 'num_ghosts', 'ghosts in a maze')
    option('--max-ticks', 'max_ticks', 'steps of the longest episode')
    option('--random-ghosts', 'random_ghosts', 'how often a ghost takes a random way, 0 to 1', float)
    option('--fps', 'fps', 'frames per second of play', float)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    options = vars(parse_args(argv))
    print_store(record_maze_game(options.pop('out'), MazeRecording(**options)))
    return 0


if __name__ == '__main__':
    run_tool(main)
