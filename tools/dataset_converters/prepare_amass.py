"""AMASS motion files (both schemas, any layout) to one memory-mapped file per split, for VPoser and for motion models.

    python tools/dataset_converters/prepare_amass.py AMASS_ROOT PREPARED_DIR --splits v02_05
    python tools/dataset_converters/prepare_amass.py AMASS_ROOT PREPARED_DIR --splits primal --selection motions \
        --family smplx --body SMPLX_NEUTRAL.npz

AMASS_ROOT holds one folder per data set, as the archives unpack. Writes PREPARED_DIR/<split>.npz and manifest.json.
Relative paths start at the current directory. Run again after an interruption: finished files are not read twice. A
complete preparation with the same settings and files is left alone; one with others is refused without --overwrite.
Exit codes: 0 done, 2 an error (a malformed file, an empty split, too much skipped, wrong options).
"""

import argparse
import json
from pathlib import Path

from motionlab.datasets.amass import NAMED_SPLITS, AmassPreparation, PoseSelection, prepare_amass
from motionlab.datasets.amass.motions import MotionSelection, RestPelvis
from motionlab.engine.cli import run_tool
from motionlab.utils import ConfigError

_POSE_OPTIONS = ('keep_rate', 'seed')
_MOTION_OPTIONS = ('fps', 'min_frames', 'frame_rates', 'max_speed', 'body', 'source_up_axis')


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('amass_root', type=Path, help='folder with one folder per data set')
    parser.add_argument('prepared_dir', type=Path, help='folder to write, e.g. data/vposer')
    parser.add_argument('--splits', default='amass', metavar='NAME|FILE',
                        help=f'{", ".join(NAMED_SPLITS)}, or a .py or .json file that defines splits (default: amass)')
    parser.add_argument('--selection', choices=('poses', 'motions'), default='poses',
                        help='single poses for pose priors (default), or whole motions')
    parser.add_argument('--family', choices=('any', 'smplh', 'smplx'), default='any',
                        help='files of one schema only (default: both)')
    parser.add_argument('--on-error', choices=('error', 'skip'), default='error',
                        help='stop at the first malformed file (default), or count it and go on')
    parser.add_argument('--max-skipped', type=float, default=0.05, metavar='SHARE',
                        help='largest share of a split that may be skipped (default 0.05)')
    parser.add_argument('--workers', type=int, default=1, help='processes (default 1)')
    parser.add_argument('--overwrite', action='store_true', help='replace data prepared with other settings or files')
    poses = parser.add_argument_group('poses')
    poses.add_argument('--keep-rate', type=float, help='share r of frames (default 0.3): 0.8 r is kept')
    poses.add_argument('--seed', type=int, help='of the drawing (default 100)')
    motions = parser.add_argument_group('motions')
    motions.add_argument('--fps', type=float, help='frames per second (default 30)')
    motions.add_argument('--min-frames', type=int, help='shortest motion, at --fps (default 16)')
    motions.add_argument('--frame-rates', type=Path, metavar='FILE',
                         help='JSON: pattern of the path from AMASS_ROOT -> frames per second, overrules the files')
    motions.add_argument('--max-speed', type=float, help='metres per second above which a motion is named (default 12)')
    motions.add_argument('--body', type=Path, nargs='+', metavar='FILE',
                         help='body files, one per family and gender: turns everything Y-up')
    motions.add_argument('--source-up-axis', choices=('y', 'z'), help='of files that do not say (default z)')
    args = parser.parse_args(argv)
    foreign = _MOTION_OPTIONS if args.selection == 'poses' else _POSE_OPTIONS
    for name in foreign:
        if getattr(args, name) is not None:
            parser.error(f'--{name.replace("_", "-")} has no effect on --selection {args.selection}')
    return args


def make_selection(args: argparse.Namespace) -> PoseSelection | MotionSelection:
    """The selection with what the command line names; defaults are those of the library."""
    names = _POSE_OPTIONS if args.selection == 'poses' else _MOTION_OPTIONS
    options = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if args.selection == 'poses':
        return PoseSelection(**options)
    if 'frame_rates' in options:
        options['frame_rates'] = read_frame_rates(options['frame_rates'])
    options['pelvises'] = tuple(map(RestPelvis.from_file, options.pop('body', ())))
    return MotionSelection(**options)


def read_frame_rates(path: Path) -> dict[str, float]:
    """Pattern -> frames per second; ConfigError for anything else."""
    try:
        rates = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise ConfigError(f'{path}: cannot be read: {error}') from error
    if not isinstance(rates, dict) or not all(isinstance(rate, (int, float)) for rate in rates.values()):
        raise ConfigError(f'{path}: expected a JSON object of patterns and numbers.')
    return rates


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    prepare_amass(AmassPreparation(args.amass_root, args.prepared_dir, args.splits, make_selection(args), args.family,
                                   args.on_error, args.max_skipped, args.workers, args.overwrite))
    return 0


if __name__ == '__main__':
    run_tool(main)
