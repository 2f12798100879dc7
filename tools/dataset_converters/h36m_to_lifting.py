"""Human3.6M (CDF files) to pose-lifting annotations.

    python tools/dataset_converters/h36m_to_lifting.py SRC data/lifting/h36m --cameras metadata.xml

SRC holds S1/.../D2_Positions/*.cdf and S1/.../D3_Positions_mono/*.cdf for every subject. Writes DST/{train,test}.npz
with *_cameras.npz (extrinsics camera to world) and conversion.json (settings, counts, skipped clips). All frames are
kept (50 Hz) unless --frame-step 2 (25 Hz, AugLift) or 5 (10 Hz, mmpose); image names keep the numbers of the video.
Take names are unified as in VideoPose3D: TakingPhoto -> Photo, WalkingDog -> WalkDog. Run again after an interruption:
finished clips are kept.
"""

import argparse
from pathlib import Path

from motionlab.datasets.importers.command import add_subject_options, make_parser, run_import, subject_splits
from motionlab.datasets.importers.h36m import H36M_TEST, H36M_TRAIN, list_h36m
from motionlab.engine.cli import run_tool


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__, 'folder with S1/, S5/, ... as unpacked')
    parser.add_argument('--cameras', type=Path, required=True,
                        help="metadata.xml of the code release, or mmpose's cameras.pkl, or an .npz camera file")
    parser.add_argument('--keep-corrupt', action='store_true',
                        help='keep the corrupt take Directions of S11, which is left out by default')
    add_subject_options(parser, train=H36M_TRAIN, test=H36M_TEST)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    splits = subject_splits(args)
    settings = {'cameras': args.cameras.name, 'keep_corrupt': args.keep_corrupt, 'subjects': splits}
    return run_import('Human3.6M', args, lambda: list_h36m(args.src, args.cameras, splits, args.keep_corrupt), settings)


if __name__ == '__main__':
    run_tool(main)
