"""Pictures with captions and boxes into a folder of layout data (output_data/): latents and embeddings for training.

    python tools/dataset_converters/prepare_layout_images.py annotations.json output_data --config CONFIG
    python tools/dataset_converters/prepare_layout_images.py annotations.json output_data --images pictures --tiny

ANNOTATIONS is a .json list or a .jsonl file in the style of DenseLayout: {id, image, prompt, height, width, annos:
[{bbox, category_name, caption}]}, boxes x1 y1 x2 y2 in pixels; optionally depth_label (foreground, midground or
background) and reference, a picture of the object of its own. Or it is a folder of layout data, whose captions/ and
images/ are encoded anew into OUT.

The encoders are those of model.codec of CONFIG, read from local paths; --tiny takes stand-ins that need no weights.
Everything is checked before anything is encoded. Run again after an interruption: what is written stays. At the end the
folder is checked as training does. Exit codes: 0 done, 2 an error.
"""

import argparse
from pathlib import Path

import torch

from motionlab.datasets.layout_annotations import BOX_UNITS
from motionlab.datasets.layout_preparation import RESIZE, LayoutPreparation, prepare_layout_images
from motionlab.engine.cli import add_cfg_options, run_tool
from motionlab.engine.config import load_config
from motionlab.registry import CODECS
from motionlab.utils import ConfigError

_TINY = dict(side=64, multiple=8)


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('annotations', type=Path, help='.json, .jsonl, or a folder of layout data')
    parser.add_argument('out', type=Path, help='folder to write')
    parser.add_argument('--images', type=Path, help='folder of the pictures (default: beside the annotations)')
    encoders = parser.add_mutually_exclusive_group(required=True)
    encoders.add_argument('--config', type=Path, help='config whose model.codec encodes')
    encoders.add_argument('--tiny', action='store_true', help='encoders without weights, of the embedded scenes')
    parser.add_argument('--boxes', choices=BOX_UNITS, default='pixels', help='units of boxes in a file')
    parser.add_argument('--side', type=int, help='encode about SIDE x SIDE pixels (default 1024; 64 with --tiny)')
    parser.add_argument('--resize', choices=RESIZE, default='aspect',
                        help='keep the ratio of sides (default), or make every picture square')
    parser.add_argument('--multiple', type=int, help='both sides are multiples of it (default 64; 8 with --tiny)')
    parser.add_argument('--on-bad', choices=('error', 'skip'), default='error',
                        help='stop at the first bad picture or object (default), or leave it out and count it')
    parser.add_argument('--limit', type=int, help='prepare the first LIMIT pictures only')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    add_cfg_options(parser)
    return parser.parse_args(argv)


def codec_config(args: argparse.Namespace) -> dict:
    """Config of the codec whose encoders are used."""
    if args.tiny:
        return dict(type='LayoutCodec')
    config = load_config(args.config, args.cfg_options).get('model', {}).get('codec')
    if config is None or config.get('type') != 'LayoutCodec':
        raise ConfigError(f'{args.config}: found model.codec {config}, expected a LayoutCodec.')
    return config


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    sizes = {name: value for name in ('side', 'multiple')
             if (value := getattr(args, name) or (_TINY[name] if args.tiny else None)) is not None}
    job = LayoutPreparation(args.annotations, args.out, args.images, args.boxes, resize=args.resize,
                            on_bad=args.on_bad, limit=args.limit, **sizes)
    codec = CODECS.build(codec_config(args)).to(args.device)
    folder = prepare_layout_images(job, codec, args.device)
    print(f'{folder.path}: {len(folder.images)} images, {sum(map(len, folder.images.values()))} objects')
    return 0


if __name__ == '__main__':
    run_tool(main)
