"""Let a model of layouts make images, or evaluate it:

    python tools/layout_generation.py generate CONFIG CHECKPOINT LAYOUT.json ... --out-dir DIR
    python tools/layout_generation.py generate CONFIG CHECKPOINT --data DIR --num 4 --out-dir DIR
    python tools/layout_generation.py evaluate CONFIG CHECKPOINT --out FILE.json --pictures FILE.png

CHECKPOINT is a file or a work dir; CONFIG may be the config.py that training wrote there. generate reads requests as
JSON (caption, size, boxes, reference pictures: see motionlab.apis.layout_requests), or takes those of a folder of
layout data, and writes image, overlay and .json of each. evaluate makes the scenes of the config's test_dataloader, or
of a folder that make_layout_scenes.py wrote, with everything, without references, and with each path switched off, from
the same noise, and prints means with standard errors.
"""

import argparse
from pathlib import Path

import torch

from motionlab.apis import init_model
from motionlab.apis.inferencers.layout_inferencer import FORMATS, LayoutToImageInferencer
from motionlab.apis.layout_evaluation import CONDITIONS, evaluate_layouts
from motionlab.apis.layout_judges import find_judge
from motionlab.apis.layout_requests import read_layout_request, requests_of_dataset
from motionlab.apis.layout_tables import report_tables
from motionlab.datasets.layout_dataset import SPLITS, LayoutImageDataset
from motionlab.datasets.layout_files import write_picture
from motionlab.datasets.layout_scenes import LayoutSceneDataset
from motionlab.engine.cli import add_cfg_options, check_device, choose_checkpoint, make_folder, print_table, run_tool
from motionlab.engine.config import load_config
from motionlab.models.layout_sampling import LayoutOptions, read_sampling_shift
from motionlab.registry import DATASETS
from motionlab.utils import ConfigError


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest='command', required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument('config', help='config file of the model')
    shared.add_argument('checkpoint', help='its weights (.pth or .safetensors), or its work dir')
    add_cfg_options(shared)
    shared.add_argument('--data', metavar='DIR', help='folder of layout data')
    shared.add_argument('--split', choices=SPLITS, default='all', help='of the folder (default all)')
    shared.add_argument('--steps', type=int, help="solver steps (default the config's; 28 for FLUX.1-dev)")
    shared.add_argument('--guidance', type=float, help="for a FLUX that is guided (default the config's)")
    shared.add_argument('--grounding-ratio', type=float, default=1.0, metavar='SHARE',
                        help='of the steps, from the first on, with the layout path (default 1)')
    shared.add_argument('--layout-scale', type=float, default=1.0, help='of the layout path (default 1)')
    shared.add_argument('--modulation-scale', type=float, default=1.0, help='of modulation (default 1)')
    shared.add_argument('--feedback-scale', type=float, default=1.0, help='of feedback (default 1)')
    shared.add_argument('--scheduler', metavar='PATH', help='scheduler_config.json, or its folder, of the FLUX '
                        'checkpoint (default: beside its weights, else that of FLUX.1-dev)')
    shared.add_argument('--seed', type=int, default=0, help='of the noise (default 0)')
    shared.add_argument('--device', choices=['cpu', 'cuda'], default='cuda' if torch.cuda.is_available() else 'cpu')

    generate = commands.add_parser('generate', parents=[shared], help='images of requests')
    generate.add_argument('layouts', nargs='*', metavar='LAYOUT.json', help='requests; or give --data')
    generate.add_argument('--num', type=int, default=4, help='of the images of --data, the first so many (default 4)')
    generate.add_argument('--size', type=int, nargs=2, metavar=('H', 'W'), help="px, instead of the requests'")
    generate.add_argument('--out-dir', required=True, metavar='DIR')
    generate.add_argument('--formats', nargs='+', default=list(FORMATS), choices=FORMATS, metavar='SUFFIX',
                          help=f'of {" ".join(FORMATS)} (default all)')
    generate.add_argument('--batch-size', type=int, default=1, help='images at once (default 1)')

    evaluate = commands.add_parser('evaluate', parents=[shared], help='scores with and without each path')
    evaluate.add_argument('--num', type=int, help='the first so many images (default all)')
    evaluate.add_argument('--conditions', nargs='+', choices=list(CONDITIONS), metavar='NAME',
                          help=f'of {", ".join(CONDITIONS)} (default all that the model has)')
    evaluate.add_argument('--judge', metavar='MODULE:NAME', default='motionlab.datasets.layout_scenes:SceneJudge',
                          help='what makes a judge of a codec, for other data than scenes: see '
                          'motionlab.apis.layout_judges')
    evaluate.add_argument('--batch-size', type=int, default=32, help='images at once (default 32)')
    evaluate.add_argument('--out', metavar='FILE', help='write all numbers here (.json)')
    evaluate.add_argument('--pictures', metavar='FILE', help='draw the first images of every condition (.png)')
    evaluate.add_argument('--num-pictures', type=int, default=8, help='how many of them (default 8)')
    return parser.parse_args(argv)


def make_inferencer(args: argparse.Namespace) -> LayoutToImageInferencer:
    """The model that the options name."""
    check_device(args.device)
    model = init_model(load_config(args.config, args.cfg_options), choose_checkpoint(args.checkpoint), args.device)
    return LayoutToImageInferencer(model)


def options_of(args: argparse.Namespace) -> LayoutOptions:
    """How images are made."""
    return LayoutOptions(
        num_steps=args.steps, seed=args.seed, guidance=args.guidance, grounding_ratio=args.grounding_ratio,
        layout_scale=args.layout_scale, modulation_scale=args.modulation_scale, feedback_scale=args.feedback_scale,
        shift=None if args.scheduler is None else read_sampling_shift(args.scheduler))


def generate(args: argparse.Namespace) -> None:
    if bool(args.layouts) == bool(args.data):
        raise ConfigError('generate: found ' + ('both' if args.data else 'neither') + ' LAYOUT.json '
                          + ('and' if args.data else 'nor') + ' --data DIR, expected one of the two.')
    make_folder(Path(args.out_dir))
    size = None if args.size is None else tuple(args.size)
    requests = [read_layout_request(path, size) for path in args.layouts] or requests_of_dataset(
        LayoutImageDataset(args.data, args.split), args.num, size)
    found = make_inferencer(args).predict(requests, options=options_of(args), batch_size=args.batch_size, draw=False,
                                          show_progress=True)['predictions']
    print('Written:\n' + '\n'.join(map(str, found.save(args.out_dir, args.formats))))


def open_dataset(args: argparse.Namespace) -> LayoutImageDataset | LayoutSceneDataset:
    """The folder, or what the config tests on."""
    if args.data:
        return LayoutImageDataset(args.data, args.split)
    loader = load_config(args.config, args.cfg_options).get('test_dataloader')
    dataset = None if loader is None else DATASETS.build(loader.dataset)
    if not isinstance(dataset, LayoutImageDataset | LayoutSceneDataset):
        raise ConfigError(f'{args.config}: tests on a {type(dataset).__name__}, expected a test_dataloader with a '
                          'LayoutSceneDataset or LayoutImageDataset; or give --data DIR.')
    return dataset


def evaluate(args: argparse.Namespace) -> None:
    for path, suffix in ((args.out, '.json'), (args.pictures, '.png')):
        if path and Path(path).suffix != suffix:
            raise ConfigError(f'{path}: name a {suffix} file.')
        if path:
            make_folder(Path(path).parent)
    make_judge, dataset, model = find_judge(args.judge), open_dataset(args), make_inferencer(args).model
    report = evaluate_layouts(model, dataset, make_judge(model.codec), conditions=args.conditions,
                              options=options_of(args), num_images=args.num, batch_size=args.batch_size,
                              num_pictures=args.num_pictures if args.pictures else 0, show_progress=True)
    for table in report_tables(report):
        print_table(table)
    if args.out:
        report.write(args.out)
    if args.pictures:
        write_picture(Path(args.pictures), report.draw())


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    {'generate': generate, 'evaluate': evaluate}[args.command](args)


if __name__ == '__main__':
    run_tool(main)
