"""Encode every frame that a config trains or tests on once, with the codec of its model:

    python tools/cache_latents.py configs/frame_prediction/CONFIG.py

Writes latents_<codec hash>.npy into every store of the config's dataloaders. Datasets with latents='only' (or the hash)
and frames=False then read latents in the place of frames. Run again after an interruption: what is encoded stays.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch

from motionlab.datasets.frame_store import open_frame_store
from motionlab.datasets.latent_cache import write_latent_cache
from motionlab.engine.cli import add_cfg_options, run_tool
from motionlab.engine.config import load_config
from motionlab.registry import CODECS
from motionlab.utils import ConfigError, register_all_modules


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', type=Path)
    parser.add_argument('--batch-size', type=int, default=64, help='frames at a time (default 64)')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    add_cfg_options(parser)
    return parser.parse_args(argv)


def store_folders(cfg: dict) -> list[Path]:
    """Folders of all frame stores of the config's dataloaders, each once."""
    found = dict.fromkeys(Path(dataset.get('data_root', ''), dataset['ann_file'])
                          for key in ('train_dataloader', 'val_dataloader', 'test_dataloader')
                          for dataset in _datasets(cfg.get(key)))
    if not found:
        raise ConfigError('The config has no dataset of type FrameWindowDataset.')
    return list(found)


def _datasets(value: object) -> Iterator[dict]:
    """Every FrameWindowDataset inside a dataloader, or a list of them."""
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from _datasets(part)
    elif isinstance(value, dict):
        if value.get('type') == 'FrameWindowDataset':
            yield value
        else:
            for part in value.values():
                yield from _datasets(part)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    if args.batch_size < 1:
        raise ConfigError(f'--batch-size {args.batch_size}: expected at least 1.')
    register_all_modules()
    cfg = load_config(args.config, args.cfg_options)
    codec = CODECS.build(cfg.model.codec).to(args.device)
    for folder in store_folders(cfg):
        cache = write_latent_cache(open_frame_store(folder), codec, args.batch_size, args.device)
        shape = ' x '.join(map(str, cache.latents.shape[1:]))
        print(f'{cache.path}: {len(cache.latents)} latents of {shape}, mean {cache.mean.mean():.3f}, '
              f'standard deviation {cache.std.mean():.3f}')
    return 0


if __name__ == '__main__':
    run_tool(main)
