"""Synthetic motion files (gait, reaching, jumping, bowing, crouching) for demos, tests and pretraining.

    python tools/dataset_converters/generate_motion.py data/mocap/procedural --clips 60 --seconds 4

Writes DST/<set>/<name>.npz in the format of motionlab/datasets/mocap/motion_file.py, <set> being the name of DST.
Clip i of a seed is always the same; files that are there already are kept, so an interrupted run can be repeated.
--shifted draws smaller people and faster movements than any of the default set: a test set out of its distribution.
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from motionlab.datasets.mocap.motion_file import load_motion, save_motion
from motionlab.datasets.simulation.procedural_motion import SHIFTED, MotionVariety, generate_clip
from motionlab.engine.cli import run_tool
from motionlab.utils import DataError


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('dst', type=Path, help='folder of the set, e.g. data/mocap/procedural')
    parser.add_argument('--clips', type=int, help='number of clips')
    parser.add_argument('--minutes', type=float, help='instead of --clips: about so many minutes in all')
    parser.add_argument('--seconds', type=float, default=4.0, help='length of a clip (default 4)')
    parser.add_argument('--fps', type=float, default=30.0, help='frames per second (default 30)')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--shifted', action='store_true', help='smaller people, faster movements')
    args = parser.parse_args(argv)
    if (args.clips is None) == (args.minutes is None):
        parser.error('give --clips or --minutes')
    if args.minutes is not None:
        args.clips = round(args.minutes * 60 / args.seconds)
    if args.clips < 1 or args.seconds <= 0 or args.fps <= 0:
        parser.error('clips, minutes, seconds and fps must be positive')
    return args


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    torch.set_num_threads(1)
    variety = SHIFTED if args.shifted else MotionVariety()
    frames = max(2, round(args.seconds * args.fps))
    recipe = f'seed {args.seed}, {frames} frames at {args.fps:g} fps, {variety}'
    subject = args.dst.name.replace('_', '-')
    folder = args.dst / subject
    made, kept = Counter(), 0
    for index in track(range(args.clips), description=f'generating {args.dst.name}'):
        path = folder / f'{subject}_{index:06d}.npz'
        if path.is_file():
            found = str(load_motion(path).get('source_file'))
            if found != f'{recipe}, clip {index}':
                raise DataError(path, 'source_file', found, f'{recipe}, clip {index}',
                                'The folder holds another set: give a new folder or delete this one.')
            kept += 1
            continue
        motion = generate_clip(args.seed, index, frames, args.fps, variety, subject)
        save_motion(path, {**motion, 'source_file': np.array(f'{recipe}, clip {index}')})
        made[str(motion['action'])] += 1
    table = Table('action', 'clips made', title=f'{args.dst}: {args.clips} clips of {frames} frames')
    for action, count in sorted(made.items()):
        table.add_row(action, str(count))
    table.add_row('already there', str(kept))
    Console().print(table)
    return 0


if __name__ == '__main__':
    run_tool(main)
