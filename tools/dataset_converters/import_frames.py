"""Bring your own game: frames and actions of a common format into a store for frame prediction.

    python tools/dataset_converters/import_frames.py images MY_RECORDING data/my_game --dry-run
    python tools/dataset_converters/import_frames.py images MY_RECORDING data/my_game --size 64

--dry-run reads and checks everything, prints what is there and writes nothing. FORMAT is one of

  images        a folder of pictures per episode, with actions.txt in it: one number per line
  video         videos, with a text file of the same name beside each: run.mp4, run.txt
  diamond       DIAMOND's episode files (.pt): obs, act, rew, end, trunc, info
  parquet-fork  tables with the columns episode, frame_image, action and perhaps next_frame_image, done, whose pictures
                are transposed
  latents-pt    {latents, episodes, actions, dones} in one .pt file; --codec CONFIG says what decodes them. Where OUT is
                a store they are put beside its frames

Frame k is what was seen when action k was taken; an episode of T actions has T + 1 frames. Where there are as many
actions as frames, the last action is left out (or the first, with --actions-lead-to own). Everything that is left out
is counted. Run again after an interruption: what is written is not read again.
"""

import argparse
import re
from pathlib import Path

from motionlab.codecs.frame_batch import ACTION_NAMES
from motionlab.datasets.frame_summary import print_report, print_store
from motionlab.datasets.importers.frames_episodes import parse_action_map
from motionlab.datasets.importers.frames_import import (
    FORMATS,
    FrameImport,
    check_frames,
    import_frames,
    import_latents,
)
from motionlab.engine.cli import run_tool
from motionlab.utils import ConfigError


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('format', choices=FORMATS)
    parser.add_argument('src', type=Path, help='file or folder to read')
    parser.add_argument('out', type=Path, help='folder to write')
    parser.add_argument('--dry-run', action='store_true', help='read and check everything, write nothing')
    parser.add_argument('--size', type=int, help='black bars to a square, then bilinear to this side (default: as is)')
    turn = parser.add_mutually_exclusive_group()
    turn.add_argument('--transpose', action='store_true', default=None,
                      help='x and y of the pictures are exchanged (default of parquet-fork)')
    turn.add_argument('--upright', dest='transpose', action='store_false', help='they are not')
    parser.add_argument('--expect', metavar='WxH', help='width and height of the game; others are refused')
    parser.add_argument('--action-names', nargs='+', default=ACTION_NAMES, metavar='NAME',
                        help=f'of the actions 0, 1, ... (default {" ".join(ACTION_NAMES)})')
    parser.add_argument('--action-map', metavar='MAP', help='ale, or our numbers by those of the source: 4,2,1,0,3')
    parser.add_argument('--actions-lead-to', choices=('next', 'own'), default='next',
                        help='action k was taken on seeing frame k (default), or it led to frame k')
    parser.add_argument('--fps', type=float, help='frames per second (default: of the video, or 15)')
    parser.add_argument('--val', type=float, default=0.1, help='share of episodes for val (default 0.1)')
    parser.add_argument('--test', type=float, default=0.1, help='share of episodes for test (default 0.1)')
    parser.add_argument('--seed', type=int, default=0, help='decides which episodes these are (default 0)')
    parser.add_argument('--num-history', type=int, default=3, help='frames a model will look back (default 3)')
    parser.add_argument('--codec', type=Path, metavar='CONFIG', help='config whose model.codec decodes the latents')
    args = parser.parse_args(argv)
    of_latents = args.format == 'latents-pt'
    if (args.codec is not None and not of_latents) or (args.codec is None and of_latents and not args.dry_run):
        parser.error('--codec belongs to latents-pt, which needs it')
    return args


def make_job(args: argparse.Namespace) -> FrameImport:
    """What the command line asks for."""
    expected = None
    if args.expect is not None:
        match = re.fullmatch(r'(\d+)x(\d+)', args.expect)
        if match is None:
            raise ConfigError(f'--expect {args.expect}: expected width and height, e.g. 160x210.')
        expected = int(match[2]), int(match[1])
    names = tuple(args.action_names)
    return FrameImport(args.format, args.src, args.size, args.transpose, expected,
                       None if args.action_map is None else parse_action_map(args.action_map, len(names)), names,
                       args.actions_lead_to, args.fps, args.val, args.test, args.seed, args.num_history)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    job = make_job(args)
    if args.dry_run:
        print_report(check_frames(job), job.action_names)
        print('Nothing was written.')
        return 0
    if args.format != 'latents-pt':
        store, report = import_frames(job, args.out)
        print_report(report, job.action_names)
        print_store(store)
        return 0
    from motionlab.engine.config import load_config
    from motionlab.registry import CODECS
    from motionlab.utils import register_all_modules
    register_all_modules()
    codec = CODECS.build(load_config(args.codec).model.codec)
    cache, report = import_latents(job, args.out, codec)
    print_report(report, job.action_names)
    print(f'{cache.path}: {len(cache.latents)} latents of {" x ".join(map(str, cache.latents.shape[1:]))}')
    return 0


if __name__ == '__main__':
    run_tool(main)
