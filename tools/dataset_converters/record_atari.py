"""Record Pac-Man of the Atari emulator (extra: atari) into a store, with a player who holds random keys:

    python tools/dataset_converters/record_atari.py data/atari/pacman64 --game Pacman --frames 20000

Without sticky actions and without the introduction, so that every action causes the frame after it. What is recorded is
yours to use, not to hand on. Run again after an interruption: what is recorded is not played again.
"""

import argparse
from pathlib import Path

from motionlab.datasets.atari_recording import INTRO_STEPS, AtariRecording, record_atari
from motionlab.datasets.frame_summary import print_store
from motionlab.engine.cli import run_tool


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = AtariRecording()
    parser.add_argument('out', type=Path, help='folder to write')
    parser.add_argument('--game', choices=sorted(INTRO_STEPS), default=default.game)
    parser.add_argument('--frames', dest='num_frames', type=int, default=default.num_frames,
                        help=f'frames of train (90 %%), val and test_seen (5 %% each) (default {default.num_frames})')
    size = parser.add_mutually_exclusive_group()
    size.add_argument('--size', type=int, default=default.size, help=f'side in pixels (default {default.size})')
    size.add_argument('--full-size', dest='size', action='store_const', const=None, help='keep the screen as it is')
    parser.add_argument('--seed', type=int, default=default.seed, help='of the player (default 0)')
    parser.add_argument('--max-steps', type=int, default=default.max_steps,
                        help=f'longest episode (default {default.max_steps})')
    parser.add_argument('--hold', type=int, default=default.hold,
                        help=f'longest time in steps that a key is held (default {default.hold})')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    options = vars(parse_args(argv))
    print_store(record_atari(options.pop('out'), AtariRecording(**options)))
    return 0


if __name__ == '__main__':
    run_tool(main)
