"""3DPW (sequence pickles) to pose-lifting annotations.

    python tools/dataset_converters/pw3d_to_lifting.py SRC data/lifting/3dpw

SRC holds sequenceFiles/{train,validation,test}/*.pkl. Writes DST/{train,val,test}.npz with *_cameras.npz (lens and
image size only: the camera moves) and conversion.json. Joints are SMPL's 24 in Human3.6M order with joint 9 invisible;
regressing Human3.6M joints from the SMPL mesh needs a body model and is not done here. Detections (OpenPose) are those
in the files. Frames whose camera was not aligned are left out and counted. Nothing pickled in the files is run. Run
again after an interruption: finished sequences are kept.
"""

import sys

from motionlab.datasets.importers.command import make_parser, run_import
from motionlab.datasets.importers.pw3d import list_pw3d
from motionlab.engine.cli import run_tool


def main(argv: list[str] | None = None) -> int:
    args = make_parser(__doc__, 'folder with sequenceFiles/').parse_args(sys.argv[1:] if argv is None else argv)
    return run_import('3DPW', args, lambda: list_pw3d(args.src), {'joints': 'SMPL-24, joint 9 invisible'})


if __name__ == '__main__':
    run_tool(main)
