"""Check a folder of layout data before training, and print what is in it:

    python tools/analysis_tools/check_layout_data.py output_data
    python tools/analysis_tools/check_layout_data.py output_data --config CONFIG

Every file is read; what was found is kept, so that training need not read them again. With --config the folder's
meta.json is compared with the encoders of model.codec of CONFIG, as training does.
Exit codes: 0 all good, 1 bad images, 2 an error.
"""

import argparse
from pathlib import Path

from motionlab.codecs.meta_check import check_expected
from motionlab.datasets.layout_folder import check_layout_folder
from motionlab.datasets.layout_summary import print_layout_folder
from motionlab.engine.cli import add_cfg_options, run_tool
from motionlab.engine.config import load_config
from motionlab.registry import CODECS


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data_root', type=Path, help='folder with captions/, embedding/, latents/')
    parser.add_argument('--max-refs', type=int, default=50, help='most references of an image in training (default 50)')
    parser.add_argument('--config', type=Path, help='config that will train on it')
    add_cfg_options(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    folder = check_layout_folder(args.data_root)
    print_layout_folder(folder, args.max_refs)
    if args.config is not None:
        codec = CODECS.build(load_config(args.config, args.cfg_options).model.codec)
        check_expected(folder.meta, codec.describe(), folder.path)
        print(f'{args.config}: has the encoders that made the folder.')
    return 1 if folder.problems else 0


if __name__ == '__main__':
    run_tool(main)
