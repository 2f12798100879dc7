"""Sample, interpolate, reconstruct and fit with a pose prior:

    python tools/pose_prior.py sample      CONFIG CHECKPOINT --num 16 --seed 0 --body FILE --out-dir DIR
    python tools/pose_prior.py interpolate CONFIG CHECKPOINT --poses FILE --rows 0 100 --body FILE --out-dir DIR
    python tools/pose_prior.py reconstruct CONFIG CHECKPOINT --poses FILE --body FILE --out-dir DIR
    python tools/pose_prior.py fit         CONFIG CHECKPOINT --targets FILE --start aligned --body FILE --out-dir DIR

--vposer PATH in place of CONFIG CHECKPOINT takes published weights. Each writes an AMASS-style .npz and a picture.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.image import imsave
from rich.table import Table

from motionlab.apis import PosePriorInferencer, init_model, load_pretrained
from motionlab.apis.body_ik import LBFGS, Adam
from motionlab.apis.body_ik_objective import DATA_LOSSES
from motionlab.apis.body_ik_solver import DEFAULT_STAGES
from motionlab.apis.inferencers.body_poses import BodyPoses
from motionlab.apis.inferencers.pose_prior_inferencer import STARTS
from motionlab.body import BodyModel, load_body
from motionlab.engine.cli import check_model_options, print_table, run_tool
from motionlab.models import PosePrior
from motionlab.registry import BODY_MODELS
from motionlab.utils import ConfigError
from motionlab.visualization.body_pose_pictures import STYLES

NAMES = {'sample': 'samples', 'interpolate': 'interpolation', 'reconstruct': 'reconstructions', 'fit': 'fits'}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest='command', required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument('config', nargs='?', help='config file of the prior')
    shared.add_argument('checkpoint', nargs='?', help='its weights (.pth or .safetensors)')
    shared.add_argument('--vposer', metavar='PATH', help='published weights instead (.ckpt, .pt)')
    shared.add_argument('--body', metavar='FILE', help="body file of the SMPL family; default: the config's")
    shared.add_argument('--out-dir', required=True, metavar='DIR')
    shared.add_argument('--draw', choices=[*STYLES, 'none'], default='mesh',
                        help='kind of picture (default mesh); fits are always drawn as meshes')
    shared.add_argument('--device', choices=['cpu', 'cuda'], default='cuda' if torch.cuda.is_available() else 'cpu')
    poses = 'npz with pose_body (N, 63), an AMASS file or a prepared split'

    sample = commands.add_parser('sample', parents=[shared], help='poses from random latents')
    sample.add_argument('--num', type=int, default=16, help='how many (default 16)')
    sample.add_argument('--seed', type=int, default=0)

    interpolate = commands.add_parser('interpolate', parents=[shared], help='from one pose to another')
    interpolate.add_argument('--poses', metavar='FILE', help=f'{poses}; default: two samples')
    interpolate.add_argument('--rows', type=int, nargs=2, default=(0, -1), help='rows of --poses (default first, last)')
    interpolate.add_argument('--seed', type=int, default=0, help='of the samples, without --poses')
    interpolate.add_argument('--steps', type=int, default=9, help='poses, both ends included (default 9)')

    reconstruct = commands.add_parser('reconstruct', parents=[shared], help='what the prior makes of poses')
    reconstruct.add_argument('--poses', metavar='FILE', required=True, help=poses)
    reconstruct.add_argument('--num-drawn', type=int, default=8, help='poses in the picture (default 8)')

    fit = commands.add_parser('fit', parents=[shared], help='bodies to keypoints or markers')
    fit.add_argument('--targets', metavar='FILE', required=True,
                     help='npz with keypoints (T, K, 3), the first K joints, or markers (T, M, 3) and vertex_ids (M,), '
                     'metres; optional confidence (T, K), up_axis, mocap_frame_rate')
    fit.add_argument('--stage', action='append', type=_stage, metavar='data=10,poZ=0.01,betas=0.5',
                     help='weights of one stage; give it several times for several stages (default: the one shown)')
    fit.add_argument('--data-loss', choices=DATA_LOSSES, default='mse_sum')
    fit.add_argument('--start', choices=STARTS, default='zeros',
                     help='aligned: lay the mean body over the targets first')
    fit.add_argument('--optimizer', choices=['lbfgs', 'adam'], default='lbfgs')
    fit.add_argument('--lr', type=float, help='of the optimizer (default 1, Adam 0.001)')
    fit.add_argument('--max-iter', type=int, help='iterations of a stage (default 300, Adam 100)')
    fit.add_argument('--tolerance', type=float, help='change of the loss that ends a stage (default 1e-4, Adam 1e-5)')
    fit.add_argument('--batch-size', type=int, default=64, help='rows that share an optimizer (default 64)')
    fit.add_argument('--num-drawn', type=int, default=8, help='bodies in the picture (default 8)')
    return parser.parse_args(argv)


def _stage(text: str) -> dict[str, float]:
    try:
        return {name.strip(): float(value) for name, value in (part.split('=') for part in text.split(','))}
    except ValueError as error:
        raise argparse.ArgumentTypeError(f'found {text!r}, expected weights like data=10,poZ=0.01,betas=0.5') from error


def make_inferencer(args: argparse.Namespace) -> PosePriorInferencer:
    """The prior and the body that the options name."""
    check_model_options(args, 'vposer')
    model = load_pretrained('vposer', args.vposer) if args.vposer else init_model(args.config, args.checkpoint)
    return PosePriorInferencer(model, body=find_body(args, model), device=args.device,
                               batch_size=getattr(args, 'batch_size', 64))


def find_body(args: argparse.Namespace, model: PosePrior) -> BodyModel | None:
    """--body, or else the config's where one is needed."""
    if args.body:
        return load_body(args.body)
    if args.command != 'fit' and args.draw == 'none':
        return None
    if getattr(model, 'body_cfg', None) is None:
        raise ConfigError('--body: found none, and the config names none; expected a body file of the SMPL family'
                          + ('.' if args.command == 'fit' else ', or --draw none.'))
    return BODY_MODELS.build(model.body_cfg)


def make_optimizer(args: argparse.Namespace) -> LBFGS | Adam:
    """The optimiser that the options describe."""
    tolerance = 'tolerance_change' if args.optimizer == 'lbfgs' else 'tolerance'
    options = {'lr': args.lr, 'max_iter': args.max_iter, tolerance: args.tolerance}
    return replace(LBFGS() if args.optimizer == 'lbfgs' else Adam(),
                   **{name: value for name, value in options.items() if value is not None})


def run(args: argparse.Namespace) -> dict:
    """What the inferencer answers to the command."""
    inferencer = make_inferencer(args)
    draw = None if args.draw == 'none' else args.draw
    if args.command == 'sample':
        return inferencer.sample(args.num, args.seed, draw)
    if args.command == 'interpolate':
        return inferencer.interpolate(args.poses, tuple(args.rows), args.seed, args.steps, draw)
    if args.command == 'reconstruct':
        return inferencer.reconstruct(args.poses, draw, args.num_drawn, show_progress=True)
    return inferencer.fit(args.targets, stages=args.stage or DEFAULT_STAGES, optimizer=make_optimizer(args),
                          data_loss=args.data_loss, start=args.start, draw=draw is not None, num_drawn=args.num_drawn,
                          show_progress=True)


def write(answer: dict, args: argparse.Namespace) -> list[Path]:
    """The poses and, where one was drawn, the picture."""
    stem = Path(args.out_dir) / NAMES[args.command]
    files = [answer['predictions'].save(stem.with_suffix('.npz'))]
    if answer['visualization'] is not None:
        files.append(stem.with_suffix('.png'))
        imsave(files[-1], answer['visualization'])
    return files


def make_table(answer: dict, files: list[Path], command: str) -> Table:
    """How many poses, how good, and what was written."""
    poses: BodyPoses = answer['predictions']
    table = Table(title=NAMES[command].capitalize(), show_header=False)
    rows = {'poses': len(poses)}
    for name, unit in (('error_deg', 'degrees'), ('error_mm', 'mm')):
        if name in poses.extras:
            known = poses.extras[name][np.isfinite(poses.extras[name])]
            rows[f'error, {unit}'] = (f'mean {known.mean():.2f}, median {np.median(known):.2f}, '
                                      f'largest {known.max():.2f} over {len(known)} poses')
    if 'history' in answer:
        rows['evaluations'] = sum(len(stage) for history in answer['history'] for stage in history)
        left_out = poses.extras['left_out']
        rows['rows left out (NaN)'] = int(left_out.sum())
        rows['rows without any target'] = int((~np.isfinite(poses.extras['error_mm']) & ~left_out).sum())
    for name, value in (*rows.items(), ('written', '\n'.join(map(str, files)))):
        table.add_row(name, str(value))
    return table


def main() -> None:
    args = parse_args()
    answer = run(args)
    print_table(make_table(answer, write(answer, args), args.command))


if __name__ == '__main__':
    run_tool(main)
