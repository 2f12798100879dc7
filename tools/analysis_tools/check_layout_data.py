"""Check a folder of layout data before training, and print what is in it:

    python tools/analysis_tools/check_layout_data.py output_data
    python tools/analysis_tools/check_layout_data.py output_data --config CONFIG

Every file is read; what was found is kept, so that training need not read them again. With --config the folder's
meta.json is compared with what the training set of CONFIG expects.
Exit codes: 0 all good, 1 bad images, 2 an error.
"""

import argparse
from pathlib import Path

from motionlab.codecs.meta_check import check_expected
from motionlab.datasets.layout_folder import check_layout_folder
from motionlab.datasets.layout_summary import print_layout_folder
from motionlab.engine.cli import add_cfg_options, run_tool
from motionlab.engine.config import load_config


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
        dataset = load_config(args.config, args.cfg_options).get('train_dataloader', {}).get('dataset', {})
        check_expected(folder.meta, dataset.get('expect') or {}, folder.path)
        print(f'{args.config}: expects what the folder is.')
    return 1 if folder.problems else 0


if __name__ == '__main__':
    run_tool(main)
