"""Fit3D (JSON files) to pose-lifting annotations.

    python tools/dataset_converters/fit3d_to_lifting.py SRC data/lifting/fit3d

SRC holds s03/joints3d_25/*.json and s03/camera_parameters/{camera}/*.json ... (also below train). Writes
DST/{train,val}.npz with *_cameras.npz (extrinsics camera to world) and conversion.json. The true 2D points are the
projected 3D joints; image 1 is the first row of the joints. Run again after an interruption: finished clips are kept.
"""

import argparse

from motionlab.datasets.importers.command import add_subject_options, make_parser, run_import, subject_splits
from motionlab.datasets.importers.fit3d import FIT3D_TRAIN, FIT3D_VAL, INTRINSICS, list_fit3d
from motionlab.engine.cli import run_tool


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__, 'folder with s03/, s04/, ... as unpacked')
    parser.add_argument('--distortion', choices=tuple(INTRINSICS), default='with',
                        help='lens model: with distortion, as the videos are (default), or without')
    add_subject_options(parser, train=FIT3D_TRAIN, val=FIT3D_VAL)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    splits = subject_splits(args)
    settings = {'distortion': args.distortion, 'subjects': splits}
    return run_import('Fit3D', args, lambda: list_fit3d(args.src, splits, args.distortion), settings)


if __name__ == '__main__':
    run_tool(main)
