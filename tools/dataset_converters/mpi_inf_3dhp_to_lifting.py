"""MPI-INF-3DHP (annot.mat, camera.calibration, annot_data.mat) to pose-lifting annotations.

    python tools/dataset_converters/mpi_inf_3dhp_to_lifting.py SRC data/lifting/mpi_inf_3dhp

SRC holds S1/Seq1/{annot.mat,camera.calibration} ... and TS1/annot_data.mat ... (also below train, test or
mpi_inf_3dhp_test_set). Writes DST/{train,test}.npz with *_cameras.npz and conversion.json, which also tells which 3D
truth was taken. Training: cameras 0 1 2 4 5 6 7 8, extrinsics turned to camera to world; sequences are filmed at 25 or
50 Hz (fps of the camera file). Testing: frames of valid_frame; focal lengths and centres are fitted, there are no
extrinsics. Joint 9 is the middle of the head, not the nose: report 14- or 16-joint numbers as well. Run again after an
interruption: finished clips are kept.
"""

import argparse

from motionlab.datasets.importers.command import add_subject_options, make_parser, run_import, subject_splits
from motionlab.datasets.importers.mpi_inf_3dhp import TEST_SUBJECTS, TRAIN_SUBJECTS, TRUTHS, list_mpi_inf_3dhp
from motionlab.engine.cli import run_tool


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__, 'folder with S1/, ..., TS1/, ... as unpacked')
    parser.add_argument('--truth', choices=TRUTHS, default=TRUTHS[0],
                        help='annot3: metric (default); univ_annot3: persons scaled to one height, for the official '
                        'PCK and AUC')
    add_subject_options(parser, train=TRAIN_SUBJECTS, test=TEST_SUBJECTS)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    splits = subject_splits(args)
    settings = {'truth': args.truth, 'subjects': splits}
    return run_import(f'MPI-INF-3DHP ({args.truth})', args, lambda: list_mpi_inf_3dhp(args.src, splits, args.truth),
                      settings)


if __name__ == '__main__':
    run_tool(main)
