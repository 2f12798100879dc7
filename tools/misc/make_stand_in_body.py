"""Write a procedural stand-in body, so that everything runs without a licensed model.

    python tools/misc/make_stand_in_body.py data/bodies/smplx/SMPLX_NEUTRAL.npz
    python tools/misc/make_stand_in_body.py data/bodies/smplh.npz --family smplh --dmpl data/bodies/dmpl.npz

It has the format and size of the real files and looks like a person, but is nobody's body: shape coefficients of a
published model mean nothing to it.
"""

import argparse

from motionlab.body.body_file import read_body_file
from motionlab.body.stand_in import COLUMNS, FULL_SIZE, write_stand_in_body, write_stand_in_dmpl
from motionlab.engine.cli import run_tool
from motionlab.utils import ConfigError


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('dst', help='.npz file to write')
    parser.add_argument('--family', choices=tuple(FULL_SIZE), default='smplx')
    parser.add_argument('--num-vertices', type=int, help=f'at least 165; default: that of the family, {FULL_SIZE}')
    columns = {family: tuple(counts) for family, counts in COLUMNS.items()}
    parser.add_argument('--num-shape-columns', type=int, help=f'one of {columns}; default: the first')
    parser.add_argument('--dmpl', metavar='NPZ', help='write a file of soft-tissue directions too (smplh, smpl)')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args(argv)
    if args.dmpl and args.family == 'smplx':
        parser.error('--dmpl belongs to the families smplh and smpl')
    try:
        path = write_stand_in_body(args.dst, family=args.family, num_vertices=args.num_vertices,
                                   num_shape_columns=args.num_shape_columns, seed=args.seed)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if args.dmpl:
        write_stand_in_dmpl(args.dmpl, path, seed=args.seed)
    print(f'{path}: {read_body_file(path, dmpl_path=args.dmpl).description}')


if __name__ == '__main__':
    run_tool(main)
