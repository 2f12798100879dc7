"""Generate motion with a motion model, or evaluate one:

    python tools/motion_generation.py generate CONFIG CHECKPOINT --seeds FILE --frames 300 --out-dir DIR
    python tools/motion_generation.py generate CONFIG CHECKPOINT --random 4 --direction 90 --speed 1.2 --out-dir DIR
    python tools/motion_generation.py evaluate CONFIG CHECKPOINT --store FILE --setting control --limit 20 --out FILE

CHECKPOINT is a file or a work dir. --primal PATH in place of CONFIG CHECKPOINT takes published weights (averaged ones
where the file has them). generate writes .npz, .bvh, a strip .png and a .gif.
"""

import argparse
import json
import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.image import imsave
from rich.table import Table

from motionlab.apis import MotionGenerationInferencer, init_model, load_pretrained
from motionlab.apis.inferencers.motion_generation_inferencer import FORMATS, GeneratedMotions
from motionlab.apis.motion_evaluation import PROTOCOL, SETTINGS, SHAPES, GenerationReport, evaluate_generation
from motionlab.datasets.motion_store import open_motion_store
from motionlab.engine.checkpoint import BEST_MODEL, find_latest_checkpoint, write_atomically
from motionlab.engine.cli import add_cfg_options, check_model_options, make_folder, print_table, run_tool
from motionlab.engine.config import load_config
from motionlab.evaluation.functional.motion import NOT_AVAILABLE
from motionlab.models.heads.noise_schedule import SPACINGS
from motionlab.models.motion_guidance import IMPULSES
from motionlab.models.rollout_options import MotionControl, RolloutOptions
from motionlab.utils import CheckpointError, ConfigError
from motionlab.visualization.motion_drawing import draw_motion_strips

UNITS = {'skating': 'skating (share)', 'non_collision': 'non-collision (share)', 'seam_jerk': 'seam jerk (m/s^3)',
         'jerk': 'jerk elsewhere (m/s^3)', 'velocity_error': 'VelErr (m/s)', 'direction_error': 'DirErr (0 to 2)',
         'location_error': 'LocErr (m)'}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest='command', required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument('config', nargs='?', help='config file of the model')
    shared.add_argument('checkpoint', nargs='?', help='its weights (.pth or .safetensors), or its work dir')
    add_cfg_options(shared)
    shared.add_argument('--primal', metavar='PATH', help='published weights instead (Lightning .ckpt)')
    shared.add_argument('--body', metavar='FILE', help="body file; default: the config's")
    shared.add_argument('--steps', type=int, help='denoising steps of a window (default 10; evaluate: 50)')
    shared.add_argument('--spacing', choices=SPACINGS, default='leading')
    shared.add_argument('--seq-len', type=int, default=16, help='frames of a window in training (default 16)')
    shared.add_argument('--noise-seed', type=int, default=0, help='of the noise (default 0)')
    shared.add_argument('--device', choices=['cpu', 'cuda'], default='cuda' if torch.cuda.is_available() else 'cpu')

    generate = commands.add_parser('generate', parents=[shared], help='motions from seeds')
    generate.add_argument('--out-dir', required=True, metavar='DIR')
    generate.add_argument('--seeds', nargs='+', default=[], metavar='FILE',
                          help='AMASS-style .npz, our own, .smpl, or a prepared store: one motion of each')
    generate.add_argument('--frame', type=int, default=0, help='of the seed files (default 0; of a store: its row)')
    generate.add_argument('--random', type=int, default=0, metavar='N', help='bodies that stand in made-up poses')
    generate.add_argument('--source-up-axis', choices=['y', 'z'], default='z',
                          help='of seed files that do not say (default z, as AMASS)')
    generate.add_argument('--frames', type=int, default=300, help='frames of each motion (default 300)')
    generate.add_argument('--direction', type=float, metavar='DEG', help='where to move and face: 0 is +x, 90 is +z')
    generate.add_argument('--speed', type=float, help='m/s along it (default 1)')
    generate.add_argument('--goal', type=float, nargs=2, metavar=('X', 'Z'), help='where to go (spatial)')
    generate.add_argument('--action', type=int, help='class (action models)')
    generate.add_argument('--impulse', choices=list(IMPULSES), help='in the first window')
    generate.add_argument('--snap', action='store_true', help='set every window on the ground')
    generate.add_argument('--reproject', action='store_true', help='joints of seeds are those of the body')
    generate.add_argument('--no-inertialise', action='store_true', help='do not blend windows in')
    generate.add_argument('--formats', nargs='+', default=list(FORMATS[:4]), choices=FORMATS, metavar='SUFFIX',
                          help=f'of {" ".join(FORMATS)} (default all but .mp4)')
    generate.add_argument('--up-axis', choices=['y', 'z'], default='y', help='of the .npz (default y; AMASS has z)')

    evaluate = commands.add_parser('evaluate', parents=[shared], help="PRIMAL's protocol")
    evaluate.add_argument('--store', required=True, metavar='FILE', help='prepared motions, e.g. data/primal/test.npz')
    evaluate.add_argument('--setting', nargs='+', choices=list(SETTINGS), default=['realism'], metavar='S',
                          help=f'some of {", ".join(SETTINGS)} (default realism)')
    evaluate.add_argument('--limit', type=int, help='at most so many first poses, evenly spread (default all)')
    evaluate.add_argument('--shapes', choices=SHAPES, default='random')
    evaluate.add_argument('--no-snap', action='store_true', help='do not set windows on the ground')
    evaluate.add_argument('--batch-size', type=int, default=32)
    evaluate.add_argument('--out', metavar='FILE',
                          help='write the numbers here (.json), strips (.png) and joints (.npz) beside it')
    return parser.parse_args(argv)


def make_inferencer(args: argparse.Namespace) -> MotionGenerationInferencer:
    """The model and the body that the options name."""
    check_model_options(args, 'primal')
    model = (load_pretrained('primal', args.primal) if args.primal else
             init_model(load_config(args.config, args.cfg_options), find_weights(Path(args.checkpoint))))
    return MotionGenerationInferencer(model, body=args.body, device=args.device)


def find_weights(path: Path) -> Path:
    """A file, or of a work dir the newest checkpoint: how motion looks goes on getting better after the loss does."""
    if not path.is_dir():
        return path
    found = find_latest_checkpoint(path) or path / BEST_MODEL
    if not found.is_file():
        raise CheckpointError(f'{path}: holds no epoch_*.pth, iter_*.pth or {BEST_MODEL}.')
    return found


def control_of(args: argparse.Namespace) -> MotionControl | list[MotionControl | None] | None:
    """What the options want of the motions."""
    if args.speed is not None and args.direction is None:
        raise ConfigError('--speed: needs --direction.')
    direction = None
    if args.direction is not None:
        angle = math.radians(args.direction)
        direction = (math.cos(angle), 0.0, math.sin(angle))
    speed = None if direction is None else 1.0 if args.speed is None else args.speed
    control = MotionControl(direction=direction, speed=speed, action=args.action, goal=args.goal)
    if args.impulse:
        return [replace(control, impulse=args.impulse), control]
    return None if control == MotionControl() else control


def generate(args: argparse.Namespace) -> None:
    make_folder(Path(args.out_dir))
    inferencer = make_inferencer(args)
    seeds = [inferencer.seed_of_file(path, args.frame, args.source_up_axis) for path in args.seeds]
    seeds += [inferencer.random_seed(args.noise_seed + number) for number in range(args.random)]
    options = RolloutOptions(num_steps=10 if args.steps is None else args.steps, seq_len=args.seq_len,
                             spacing=args.spacing, snap=args.snap, inertialise=not args.no_inertialise,
                             reproject=args.reproject)
    start = time.perf_counter()
    answer = inferencer.generate(seeds, args.frames, seed=args.noise_seed, controls=control_of(args), options=options,
                                 draw=False)
    seconds = time.perf_counter() - start
    motions: GeneratedMotions = answer['predictions']
    table = Table(title='Generated motion', show_header=False)
    table.add_row('motions x frames', f'{len(motions)} x {args.frames} ({args.frames / inferencer.fps:.1f} s each)')
    table.add_row('frames per second', f'{len(motions) * args.frames / seconds:.0f}')
    for name, values in motions.scores.items():
        table.add_row(UNITS[name], f'{values.mean():.3f}')
    table.add_row('written', '\n'.join(map(str, motions.save(args.out_dir, args.formats, up_axis=args.up_axis))))
    print_table(table)


def evaluate(args: argparse.Namespace) -> None:
    if args.out and Path(args.out).suffix != '.json':
        raise ConfigError(f'--out {args.out}: numbers are written as JSON, name a .json file.')
    if args.out:
        make_folder(Path(args.out).parent)
    inferencer, store = make_inferencer(args), open_motion_store(args.store)
    options = replace(PROTOCOL, num_steps=PROTOCOL.num_steps if args.steps is None else args.steps,
                      seq_len=args.seq_len, spacing=args.spacing, snap=not args.no_snap)
    reports = {}
    for setting in dict.fromkeys(args.setting):
        reports[setting] = evaluate_generation(
            inferencer.model, None, store, setting, options=options, shapes=args.shapes, seed=args.noise_seed,
            limit=args.limit, batch_size=args.batch_size, show_progress=True)
        print_table(make_table(reports[setting]))
        if args.out:
            write_strips(Path(args.out), reports[setting], inferencer.fps)
    if args.out:
        text = json.dumps({setting: report.as_dict() for setting, report in reports.items()}, indent=1)
        write_atomically(args.out, lambda file: file.write(text.encode()))
        print(f'written: {args.out}')


def make_table(report: GenerationReport) -> Table:
    """A line for each condition; what cannot be said is said to be so."""
    names = [name for name in UNITS if name in report.rows['all']]
    table = Table('', *(UNITS[name] for name in names),
                  title=f'{report.setting}: {report.num_motions} motions from {report.num_states} first poses, '
                        f'{report.frames_per_second:.0f} frames per second')
    for condition, values in report.rows.items():
        table.add_row(condition, *(f'{values[name]:.3f}' if name in values else '-' for name in names))
    distance = report.pose_distance
    table.caption = f'NRDF x 1000: {distance if distance == NOT_AVAILABLE else f"{distance:.2f}"}'
    if report.setting == 'action':
        table.caption += f'; R-precision: {NOT_AVAILABLE} (it takes a network of its own)'
    return table


def write_strips(out: Path, report: GenerationReport, fps: float) -> None:
    """The first motions of each condition beside the numbers: a picture, and their joints (T, 22, 3)."""
    names = list(report.motions)
    picture = draw_motion_strips([report.motions[name] for name in names], fps, 8, names,
                                 [report.ways[name] for name in names])
    imsave(out.with_name(f'{out.stem}_{report.setting}.png'), picture)
    write_atomically(out.with_name(f'{out.stem}_{report.setting}.npz'), lambda file: np.savez(file, **report.motions))


def main() -> None:
    args = parse_args()
    (generate if args.command == 'generate' else evaluate)(args)


if __name__ == '__main__':
    run_tool(main)
