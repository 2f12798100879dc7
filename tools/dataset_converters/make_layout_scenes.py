"""Draw the embedded data of layout generation, pictures of textured, coloured shapes, as a folder of layout data:

    python tools/dataset_converters/make_layout_scenes.py data/scenes --num 640

Configs on scenes need no folder: they draw the same scenes as they train. The same options give the same bytes. Run
again after an interruption, or with a larger number: what is there is not drawn again.
"""

import argparse
from pathlib import Path

from motionlab.datasets.layout_scenes import make_layout_scenes
from motionlab.datasets.layout_scenes.captions import SHAPES_ONLY, STYLES
from motionlab.datasets.layout_scenes.scene import MAX_OBJECTS
from motionlab.engine.cli import run_tool


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path, help='folder to write')
    parser.add_argument('--num', type=int, default=1000, metavar='N', help='scenes (default 1000)')
    parser.add_argument('--captions', choices=STYLES, default=SHAPES_ONLY,
                        help='base: colours and textures are named in three of four captions, as the base model is '
                             f'trained; shapes: never, as stages are (default {SHAPES_ONLY})')
    parser.add_argument('--seed', type=int, default=0, metavar='N', help='another seed gives other scenes (default 0)')
    parser.add_argument('--objects', type=int, default=MAX_OBJECTS, metavar='N',
                        help=f'most objects of a scene (default {MAX_OBJECTS})')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    folder = make_layout_scenes(args.out, args.num, args.seed, args.captions, args.objects)
    references = sum(len(image) for image in folder.images.values())
    print(f'{folder.path}: {len(folder.images)} scenes, {references} references')
    return 0


if __name__ == '__main__':
    run_tool(main)
