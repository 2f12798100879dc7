"""Draw the embedded data of layout generation, pictures of textured, coloured shapes, as folders of layout data:

    python tools/dataset_converters/make_layout_scenes.py data/layout_scenes --scenes 4000

OUT/base has captions with colours and textures (for the base model), OUT/stages the same pictures with captions that
name shapes only (for the three stages), OUT/test other pictures with such captions. The same options give the same
bytes. Run again after an interruption: what is there is not drawn again.
"""

import argparse
from pathlib import Path

from motionlab.datasets.layout_scenes import make_layout_scenes
from motionlab.engine.cli import run_tool

_TEST_SEED = 1  # Beyond the seed of the others.


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path, help='folder to write')
    parser.add_argument('--scenes', type=int, default=4000, metavar='N',
                        help='pictures of base and of stages (default 4000)')
    parser.add_argument('--test-scenes', type=int, default=400, metavar='N', help='pictures of test (default 400)')
    parser.add_argument('--seed', type=int, default=0, metavar='N', help='of the pictures (default 0)')
    parser.add_argument('--objects', type=int, default=4, metavar='N', help='most objects of a picture (default 4)')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    for name, captions, count, seed in (('base', 'base', args.scenes, args.seed),
                                        ('stages', 'shapes', args.scenes, args.seed),
                                        ('test', 'shapes', args.test_scenes, args.seed + _TEST_SEED)):
        folder = make_layout_scenes(args.out / name, count, seed, captions, args.objects)
        references = sum(len(image) for image in folder.images.values())
        print(f'{folder.path}: {len(folder.images)} scenes, {references} references')
    return 0


if __name__ == '__main__':
    run_tool(main)
