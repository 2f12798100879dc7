"""A vendor's body model (.pkl of SMPL, SMPL-H or SMPL-X) to the .npz that MotionLab and smplx read.

    python tools/model_converters/body_pkl_to_npz.py basicModel_f_lbs_10_207_0_v1.0.0.pkl bodies/smpl/SMPL_FEMALE.npz
    python tools/model_converters/body_pkl_to_npz.py SMPLH_female.pkl bodies/smplh/SMPLH_FEMALE.npz \\
        --mano-left MANO_LEFT.pkl --mano-right MANO_RIGHT.pkl

Nothing that the pickle names is imported or run, chumpy is not needed. The result stays under the vendor's licence.
"""

import argparse

from rich.console import Console

from motionlab.datasets.importers.body_pickle import convert_body_pickle
from motionlab.engine.cli import run_tool


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('src', help='.pkl file of the vendor')
    parser.add_argument('dst', help='.npz file to write')
    parser.add_argument('--mano-left', metavar='PKL', help='MANO_LEFT.pkl, merged into an SMPL-H body')
    parser.add_argument('--mano-right', metavar='PKL', help='MANO_RIGHT.pkl, merged into an SMPL-H body')
    parser.add_argument('--gender', choices=('female', 'male', 'neutral'), help='told by the name of SRC by default')
    parser.add_argument('--version', metavar='TAG', help='tag stored with the body, such as v1.1')
    args = parser.parse_args(argv)
    body = convert_body_pickle(args.src, args.dst, left_hand=args.mano_left, right_hand=args.mano_right,
                               gender=args.gender, version=args.version)
    console = Console(soft_wrap=True)
    console.print(f'{args.dst}: {body.description}', markup=False)
    console.print(f'written: {", ".join(body.written)}', markup=False)
    console.print(f'not needed, left out ({len(body.ignored)}): {", ".join(body.ignored) or "-"}', markup=False)


if __name__ == '__main__':
    run_tool(main)
