"""Let a model of a game make frames, or evaluate one:

    python tools/frame_prediction.py predict CONFIG CHECKPOINT --store DIR --split test_unseen --num 2 --out-dir DIR
    python tools/frame_prediction.py predict CONFIG CHECKPOINT --store DIR --hold UP --frames 32 --out-dir DIR
    python tools/frame_prediction.py strip CONFIG CHECKPOINT --store DIR --num 6 --out FILE.png
    python tools/frame_prediction.py evaluate CONFIG CHECKPOINT --store DIR --splits test_seen test_unseen --out FILE

CHECKPOINT is a file or a work dir. predict plays from real frames of a recording, under the recorded actions or under
one that is held, and writes .npz, a strip .png and a .gif beside the recording. strip draws history, prediction, target
and difference of single frames. evaluate prints everything that can be measured, copy-last beside it.
"""

import argparse
import json
from pathlib import Path

import torch
from matplotlib.image import imsave
from rich.table import Table

from motionlab.apis import FramePredictionInferencer, init_model
from motionlab.apis.frame_evaluation import FrameAmounts, PerceptualNetworks, evaluate_frames, speed_of
from motionlab.apis.frame_prediction import window_rows
from motionlab.apis.frame_tables import report_tables
from motionlab.apis.inferencers.frame_prediction_inferencer import FORMATS, PredictedFrames
from motionlab.codecs.frame_batch import ACTION_NAMES
from motionlab.datasets.frame_store import FrameStore, open_frame_store
from motionlab.engine.checkpoint import write_atomically
from motionlab.engine.cli import add_cfg_options, check_device, choose_checkpoint, make_folder, print_table, run_tool
from motionlab.engine.config import load_config
from motionlab.models.frame_rollout import FrameOptions
from motionlab.models.heads.flow_samplers import SOLVERS
from motionlab.utils import ConfigError


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest='command', required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument('config', help='config file of the model')
    shared.add_argument('checkpoint', help='its weights (.pth or .safetensors), or its work dir')
    add_cfg_options(shared)
    shared.add_argument('--store', required=True, metavar='DIR', help='recorded game')
    shared.add_argument('--steps', type=int, help="solver steps of a frame (default the config's)")
    shared.add_argument('--solver', choices=SOLVERS, help="default the config's")
    shared.add_argument('--guidance', type=float, default=1.0, help='by the actions; 1 (default) for none')
    shared.add_argument('--seed', type=int, default=0, help='of the noise (default 0)')
    shared.add_argument('--batch-size', type=int, default=64, help='frames at once (default 64)')
    shared.add_argument('--device', choices=['cpu', 'cuda'], default='cuda' if torch.cuda.is_available() else 'cpu')

    predict = commands.add_parser('predict', parents=[shared], help='play from real frames')
    predict.add_argument('--out-dir', required=True, metavar='DIR')
    predict.add_argument('--frames', type=int, default=64, help='of each rollout (default 64)')
    predict.add_argument('--hold', choices=ACTION_NAMES, help='hold this action instead of the recorded ones')
    predict.add_argument('--formats', nargs='+', default=list(FORMATS[:3]), choices=FORMATS, metavar='SUFFIX',
                         help=f'of {" ".join(FORMATS)} (default all but .mp4)')
    strip = commands.add_parser('strip', parents=[shared], help='history, prediction, target, difference')
    strip.add_argument('--out', required=True, metavar='FILE', help='.png')
    for command, number in ((predict, 2), (strip, 4)):
        command.add_argument('--split', default='test_unseen', help='whose episodes (default test_unseen)')
        command.add_argument('--num', type=int, default=number,
                             help=f'places to begin at, evenly spread over the split (default {number})')
        command.add_argument('--row', type=int, action='append', metavar='N',
                             help='of the store instead, the first one to be made; give it several times for several')

    evaluate = commands.add_parser('evaluate', parents=[shared], help='everything that can be measured')
    amounts = FrameAmounts()
    evaluate.add_argument('--splits', nargs='+', default=['test_seen', 'test_unseen'], metavar='NAME')
    evaluate.add_argument('--windows', type=int, default=amounts.windows,
                          help=f'single frames of each split (default {amounts.windows})')
    evaluate.add_argument('--rollouts', type=int, default=amounts.rollouts,
                          help=f'rollouts of each split (default {amounts.rollouts})')
    evaluate.add_argument('--frames', type=int, default=amounts.frames,
                          help=f'frames of each rollout (default {amounts.frames})')
    evaluate.add_argument('--states', type=int, default=amounts.states, help='of each split, from which every action '
                          f'is taken (default {amounts.states}; maze game only)')
    evaluate.add_argument('--lpips', metavar='FILE', help='TorchScript of a trained LPIPS network')
    evaluate.add_argument('--fvd', metavar='FILE', help='i3d_torchscript.pt of StyleGAN-V')
    evaluate.add_argument('--out', metavar='FILE', help='write all numbers here (.json)')
    return parser.parse_args(argv)


def make_inferencer(args: argparse.Namespace) -> FramePredictionInferencer:
    """The model that the options name."""
    check_device(args.device)
    model = init_model(load_config(args.config, args.cfg_options), choose_checkpoint(args.checkpoint), args.device)
    return FramePredictionInferencer(model)


def options_of(args: argparse.Namespace) -> FrameOptions:
    """How frames are made."""
    return FrameOptions(num_steps=args.steps, solver=args.solver, guidance=args.guidance, seed=args.seed)


def play(inferencer: FramePredictionInferencer, args: argparse.Namespace, store: FrameStore,
         num_frames: int, action: str | None = None) -> PredictedFrames:
    """What the model makes from the places that the options name."""
    rows = args.row or window_rows(store, args.split, inferencer.model.num_history, num_frames, args.num).tolist()
    seeds = [inferencer.seed_of_store(store, row, num_frames) for row in rows]
    actions = None if action is None else [ACTION_NAMES.index(action)] * num_frames
    return inferencer.predict(seeds, actions, options=options_of(args), batch_size=args.batch_size, draw=False,
                              show_progress=True)['predictions']


def predict(args: argparse.Namespace) -> None:
    make_folder(Path(args.out_dir))
    found = play(make_inferencer(args), args, open_frame_store(args.store), args.frames, args.hold)
    table = Table(title='Predicted frames', show_header=False)
    table.add_row('rollouts x frames', f'{len(found)} x {found.frames.shape[1]}')
    if found.psnr is not None:
        table.add_row('PSNR, first frame', f'{found.psnr[:, 0].mean():.2f} dB')
        table.add_row('PSNR, last frame', f'{found.psnr[:, -1].mean():.2f} dB')
    table.add_row('written', '\n'.join(map(str, found.save(args.out_dir, args.formats))))
    print_table(table)


def strip(args: argparse.Namespace) -> None:
    path = Path(args.out)
    if path.suffix != '.png':
        raise ConfigError(f'--out {path}: the strip is written as PNG, name a .png file.')
    make_folder(path.parent)
    found = play(make_inferencer(args), args, open_frame_store(args.store), 1)
    imsave(path, found.draw_windows())
    print(f'Mean PSNR of {len(found)} frames: {found.psnr.mean():.2f} dB. Written: {path}')


def evaluate(args: argparse.Namespace) -> None:
    if args.out and Path(args.out).suffix != '.json':
        raise ConfigError(f'--out {args.out}: numbers are written as JSON, name a .json file.')
    if args.out:
        make_folder(Path(args.out).parent)
    networks = PerceptualNetworks(args.lpips, args.fvd, args.device)
    amounts = FrameAmounts(args.windows, args.rollouts, args.frames, args.states)
    model, store = make_inferencer(args).model, open_frame_store(args.store)
    reports = evaluate_frames(model, store, args.splits, options=options_of(args), amounts=amounts, networks=networks,
                              batch_size=args.batch_size, show_progress=True)
    speed = speed_of(model, store, options_of(args))
    for table in report_tables(reports, speed):
        print_table(table)
    if args.out:
        text = json.dumps({**{split: report.as_dict() for split, report in reports.items()}, 'speed': speed}, indent=1)
        write_atomically(args.out, lambda file: file.write(text.encode()))


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    {'predict': predict, 'strip': strip, 'evaluate': evaluate}[args.command](args)


if __name__ == '__main__':
    run_tool(main)
