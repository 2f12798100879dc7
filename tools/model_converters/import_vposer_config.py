"""Turn a training config of human_body_prior into one of ours: python tools/model_converters/import_vposer_config.py
V02_05.yaml imported.py.

The result trains with tools/train.py imported.py, which prepares the data unless tools/dataset_converters/
prepare_amass.py has: that takes it as --splits. Its paths are those of the yaml; override them with --work-dir and
--cfg-options model.body.path=... as anywhere; a data set's preparation=None takes files that are there as they are.
"""

import argparse
from pathlib import Path

from mmengine import Config
from mmengine.logging import print_log

from motionlab.apis.vposer_yaml import make_config, read_vposer_yaml
from motionlab.engine.cli import run_tool
from motionlab.engine.config import load_config
from motionlab.utils import ConfigError

BASE = Path(__file__).resolve().parents[2] / 'configs/pose_prior/vposer-v2_1xb128-100e_amass.py'
_WARNING = 30


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('yaml', help='training config of human_body_prior')
    parser.add_argument('out', type=Path, help='config to write (.py)')
    return parser.parse_args(argv)


def header_of(source: str, cfg: Config) -> str:
    """Comments that say where a config comes from and how its data is made."""
    prepared = cfg.train_dataloader.dataset.data_root.rstrip('/')
    return (f'# Imported from {Path(source).name} of human_body_prior. Data:\n'
            f'# tools/dataset_converters/prepare_amass.py {cfg.amass_root} {prepared} --splits <this file>\n')


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    if args.out.suffix != '.py':
        raise ConfigError(f'{args.out}: found suffix {args.out.suffix!r}, expected .py.')
    settings = read_vposer_yaml(args.yaml)
    cfg = make_config(args.yaml, settings, load_config(BASE))
    for warning in settings.warnings:
        print_log(f'{args.yaml}: {warning}.', logger='current', level=_WARNING)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(header_of(args.yaml, cfg) + cfg.pretty_text, encoding='utf-8')
    load_config(args.out)
    for key in settings.without_counterpart:
        print(f'no counterpart: {key}')
    print(f'body: {cfg.model.body.path}\nprepared data: {cfg.train_dataloader.dataset.data_root}\n'
          f'work dir: {cfg.work_dir}')
    print(f'wrote {args.out}')


if __name__ == '__main__':
    run_tool(main)
