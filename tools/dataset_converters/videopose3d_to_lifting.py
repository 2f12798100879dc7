"""VideoPose3D's npz files of Human3.6M to pose-lifting annotations.

    python tools/dataset_converters/videopose3d_to_lifting.py data_3d_h36m.npz data/lifting/h36m_cpn \\
        --cameras metadata.xml --ground-truth-2d data_2d_h36m_gt.npz --detections data_2d_h36m_cpn_ft_h36m_dbb.npz

Writes DST/{train,test}.npz with *_cameras.npz (extrinsics camera to world) and conversion.json. The true 2D points are
those of --ground-truth-2d, or the projected 3D joints. Detections may be in Human3.6M or COCO order (the file tells);
without a confidence column every confidence is 1. The files hold no depth: `part`, `S` and the detections are written,
depth is for extract_depth.py. Nothing pickled in the files is run. Run again after an interruption: finished clips are
kept.
"""

import argparse
from pathlib import Path

from motionlab.datasets.importers.command import add_subject_options, make_parser, run_import, subject_splits
from motionlab.datasets.importers.h36m import H36M_TEST, H36M_TRAIN
from motionlab.datasets.importers.videopose3d import list_videopose3d
from motionlab.engine.cli import run_tool


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__, 'data_3d_h36m.npz')
    parser.add_argument('--cameras', type=Path, required=True,
                        help="metadata.xml of Human3.6M, or mmpose's cameras.pkl, or an .npz camera file")
    parser.add_argument('--ground-truth-2d', type=Path, help='data_2d_h36m_gt.npz')
    parser.add_argument('--detections', type=Path, help='data_2d_h36m_cpn_ft_h36m_dbb.npz or alike')
    add_subject_options(parser, train=H36M_TRAIN, test=H36M_TEST)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    splits = subject_splits(args)
    files = {'cameras': args.cameras, 'ground_truth_2d': args.ground_truth_2d, 'detections': args.detections}
    settings = {'subjects': splits, **{key: path.name if path else None for key, path in files.items()}}
    return run_import('VideoPose3D', args, lambda: list_videopose3d(
        args.src, args.cameras, splits, args.ground_truth_2d, args.detections), settings)


if __name__ == '__main__':
    run_tool(main)
