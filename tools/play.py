"""Play a game in a model, in the browser, with the real game beside it under the same actions:

    python tools/play.py CONFIG CHECKPOINT                     the maze game, a new maze for every seed
    python tools/play.py CONFIG CHECKPOINT --store FOLDER      from recorded frames of any game; the seed is the episode

CHECKPOINT is a file or a work dir. Then open the address that is printed. Steer with the arrows or W A S D.
"""

import argparse

import torch

from motionlab.apis import init_model
from motionlab.apis.play import FramePlayer, GameStarts, PlayServer, PlayTable, StoreStarts
from motionlab.datasets.frame_store import open_frame_store
from motionlab.engine.cli import add_cfg_options, check_device, choose_checkpoint, run_tool
from motionlab.engine.config import load_config
from motionlab.models import FramePredictor
from motionlab.models.frame_rollout import FrameOptions
from motionlab.models.heads.flow_samplers import SOLVERS
from motionlab.utils import ConfigError


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file of the model')
    parser.add_argument('checkpoint', help='its weights (.pth or .safetensors), or its work dir')
    add_cfg_options(parser)
    where = parser.add_argument_group('where games begin')
    where.add_argument('--store', metavar='FOLDER', help='recorded game; default: the maze game itself')
    where.add_argument('--split', default='all', help='episodes of the store (default all)')
    where.add_argument('--tile-px', type=int, choices=(4, 8), default=4,
                       help='of the maze game: 4 (default) for 64 x 64 pixels, 8 for 128 x 128')
    where.add_argument('--seed', type=int, default=0, help='that the page begins with (default 0)')
    where.add_argument('--no-oracle', action='store_true', help='without the real game')
    how = parser.add_argument_group('how frames are made')
    how.add_argument('--steps', type=int, help="solver steps of a frame (default the config's)")
    how.add_argument('--solver', choices=SOLVERS, help="default the config's")
    how.add_argument('--guidance', type=float, default=1.0, help='by the actions; 1 (default) for none')
    how.add_argument('--device', choices=['cpu', 'cuda'], default='cuda' if torch.cuda.is_available() else 'cpu')
    how.add_argument('--threads', type=int, default=1, help='of torch on a CPU (default 1: a frame of a small model is '
                     'too little work to be shared)')
    server = parser.add_argument_group('server')
    server.add_argument('--host', default='127.0.0.1', help='address (default 127.0.0.1: this machine only)')
    server.add_argument('--port', type=int, default=8000, help='default 8000; 0 takes a free one')
    server.add_argument('--sessions', type=int, default=8, help='most games at once (default 8)')
    return parser.parse_args(argv)


def make_server(args: argparse.Namespace) -> PlayServer:
    """The server that the options ask for, listening.

    Raises:
        ConfigError: the model predicts no frames, or options do not fit each other.
        CheckpointError: no such weights, or of another model.
        DataError: the store is malformed, or of another size than the model takes.
    """
    check_device(args.device)
    if args.threads < 1:
        raise ConfigError(f'--threads {args.threads}: expected at least 1.')
    cfg = load_config(args.config, args.cfg_options)
    model = init_model(cfg, choose_checkpoint(args.checkpoint), args.device)
    if not isinstance(model, FramePredictor):
        raise ConfigError(f'{args.config}: is of a {type(model).__name__}, expected a FramePredictor.')
    # A model that has seen no padding is not to see any now.
    dataset = (cfg.get('train_dataloader') or {}).get('dataset', {})
    num_frames = 1 if dataset.get('pad') else model.num_history
    if args.store is None:
        starts = GameStarts(num_frames, args.tile_px, real=not args.no_oracle)
    else:
        starts = StoreStarts(open_frame_store(args.store), num_frames, args.split, real=not args.no_oracle)
    options = FrameOptions(num_steps=args.steps, solver=args.solver, guidance=args.guidance)
    table = PlayTable(FramePlayer(model, starts, options), args.sessions, args.seed)
    return PlayServer(table, args.host, args.port)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    server = make_server(args)
    torch.set_num_threads(args.threads)
    print(f'Play at {server.url} (Ctrl-C ends)', flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print('Ended.')
    finally:
        server.server_close()
    return 0


if __name__ == '__main__':
    run_tool(main)
