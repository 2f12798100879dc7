"""A folder of <action>_<index>.smpl files to memory-mapped motions with classes, for models that act on command.

    python tools/dataset_converters/smpl_to_motions.py SMPL_DIR PREPARED_DIR

The text before the first _ of a name is the action. Writes PREPARED_DIR/train.npz, vald.npz and manifest.json. A
complete preparation with the same settings and files is left alone; one with others is refused without --overwrite.
Exit codes: 0 done, 2 an error (a malformed file, an empty split, wrong options).
"""

import argparse
from pathlib import Path

from motionlab.datasets.action_motions import ActionPreparation, prepare_actions
from motionlab.engine.cli import run_tool


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('smpl_dir', type=Path, help='folder of .smpl files')
    parser.add_argument('prepared_dir', type=Path, help='folder to write, e.g. data/primal_actions')
    parser.add_argument('--fps', type=float, default=30.0, help='frames per second (default 30)')
    parser.add_argument('--piece-frames', type=int, default=16, metavar='N',
                        help='cut files into sequences of so many frames (default 16); 0 keeps them whole')
    parser.add_argument('--vald-share', type=float, default=0.1, metavar='SHARE',
                        help='share of the files of every action for vald.npz (default 0.1); 0 trains on all')
    parser.add_argument('--on-error', choices=('error', 'skip'), default='error',
                        help='stop at the first malformed file (default), or count it and go on')
    parser.add_argument('--overwrite', action='store_true', help='replace what was prepared otherwise')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    prepare_actions(ActionPreparation(**vars(parse_args(argv))))
    return 0


if __name__ == '__main__':
    run_tool(main)
