"""Write a checkpoint of layout generation as the folder that guides speak of, and keep the newest of them:

    python tools/model_converters/export_layout_checkpoint.py SRC [ROOT] [--keep-last-n N]

SRC is a file iter_N.pth, or a work dir, whose newest whole one is taken. The folder is ROOT/stage{n}/checkpoint_{step}/
(ROOT is checkpoints by default) with model.pt, optimizer.pt, scheduler.pt, config.yaml and training_state.json.
Whatever takes a checkpoint takes the folder too; --to-pth FILE writes a folder back as one file.
"""

import argparse
from pathlib import Path

from motionlab.apis.layout_checkpoints import checkpoint_facts, export_layout_checkpoint
from motionlab.engine.checkpoint import load_checkpoint_file, write_checkpoint
from motionlab.engine.cli import make_folder, run_tool
from motionlab.utils import ConfigError


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('src', type=Path, metavar='SRC', help='checkpoint file, folder, or work dir')
    parser.add_argument('root', type=Path, nargs='?', default=Path('checkpoints'), metavar='ROOT',
                        help='folder of all stages (default checkpoints)')
    parser.add_argument('--keep-last-n', type=int, metavar='N', help='afterwards keep the newest N of the stage')
    parser.add_argument('--to-pth', type=Path, metavar='FILE', help='write one file instead')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    if args.keep_last_n is not None and args.keep_last_n < 1:
        raise ConfigError(f'--keep-last-n: found {args.keep_last_n}, expected at least 1.')
    facts = checkpoint_facts(args.src)
    if args.to_pth is not None:
        make_folder(args.to_pth.parent)
        write_checkpoint(load_checkpoint_file(facts.path), args.to_pth)
        print(f'{facts} -> {args.to_pth}')
        return
    print(f'{facts} -> {export_layout_checkpoint(facts.path, args.root, args.keep_last_n or -1)}')


if __name__ == '__main__':
    run_tool(main)
