"""Lifting experiments: base configs x inputs x window lengths x training sets x seeds -> runs with their overrides."""

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from mmengine import Config

from motionlab.engine.cli import add_cfg_options
from motionlab.engine.config import load_config, override_config
from motionlab.utils import ConfigError

# Which channels join x and y, and which statistics of the depth around a joint.
_INPUTS = {
    'xy': dict(use_confidence=False, use_depth=False, depth_stats=None),
    'xyc': dict(use_confidence=True, use_depth=False, depth_stats=None),
    'xyd': dict(use_confidence=False, use_depth=True, depth_stats=None),
    'xycd': dict(use_confidence=True, use_depth=True, depth_stats=None),
    'uadd6': dict(use_confidence=True, use_depth=True, depth_stats='range'),
    'uadd10': dict(use_confidence=True, use_depth=True, depth_stats='spatial'),
}
_WITH_FEATURES = '+features'
VARIANTS = (*_INPUTS, *(name + _WITH_FEATURES for name in _INPUTS))
# VideoPose3D's kernels; one frame is the SimpleBaseline.
_KERNEL_SIZES = {1: (1, 1, 1), 9: (3, 3), 27: (3, 3, 3), 81: (3, 3, 3, 3), 243: (3, 3, 3, 3, 3)}
_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
# What weights follow from, and what their test results follow from.
_TRAINING = ('model', 'data_preprocessor', 'train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler',
             'randomness', 'custom_hooks', 'val_dataloader', 'val_evaluator', 'load_from', 'auto_scale_lr')
_TESTING = ('model', 'test_dataloader', 'test_evaluator', 'test_cfg')
_MACHINE = ('num_workers', 'persistent_workers', 'pin_memory', 'prefetch_factor')  # Change nothing that is learned.


@dataclass(frozen=True)
class Run:
    """One training with its test.

    Args:
        config: Path of the base config.
        train_set: Name of the training set.
        frames: Input frames.
        variant: Input channels, one of :data:`VARIANTS`.
        seed: ``randomness.seed``.
        options: ``key=value`` overrides for ``--cfg-options``.
        sources: Data sets that the training set is made of.
        test_sets: Names of the test sets.
        training: What the weights follow from: dotted config key -> value, plain data.
        testing: What the test results follow from besides the weights.
    """

    config: str
    train_set: str
    frames: int
    variant: str
    seed: int
    options: tuple[str, ...]
    sources: tuple[str, ...]
    test_sets: tuple[str, ...]
    training: dict[str, Any]
    testing: dict[str, Any]

    @property
    def name(self) -> str:
        """Folder of the run below the sweep's work dir."""
        return f'{Path(self.config).stem}/{self.train_set}-{self.frames}frm-{self.variant}-seed{self.seed}'


def expand_runs(configs: Iterable[str], variants: Iterable[str], frames: Iterable[int] | None,
                train_sets: Iterable[str] | None, seeds: Iterable[int], options: Sequence[str] = ()) -> list[Run]:
    """Every combination once, each checked against the classes that will be built; no data is opened.

    Args:
        configs: Base configs of lifters with a TCN or a PoseFormer.
        variants: Names of :data:`VARIANTS`.
        frames: Window lengths; None keeps each config's own. The TCN's kernels or PoseFormer's ``num_frames`` follow,
            and every dataset's ``seq_len``.
        train_sets: Folders beside that of the config's training annotation; None keeps the config's own.
        seeds: Seeds.
        options: ``key=value`` overrides for all runs, which win over those of the sweep.

    Raises:
        ConfigError: a config or override is wrong, a config cannot be varied this way, or two runs would share a
            work dir.
    """
    runs: dict[str, Run] = {}
    for config in dict.fromkeys(map(str, configs)):
        base = load_config(config, parse_options(options))
        for train_set, number, variant, seed in product(*(dict.fromkeys(each) for each in (
                train_sets or [None], frames or [None], variants, seeds))):
            run = _make_run(config, base, variant, number, train_set, seed, options)
            if run.name in runs:
                raise ConfigError(f'{config} and {runs[run.name].config}: two runs named {run.name}. Sweep configs of '
                                  'the same file name one after the other, with different work dirs.')
            runs[run.name] = run
    return list(runs.values())


def parse_options(options: Sequence[str]) -> dict[str, Any]:
    """``key=value`` strings as ``--cfg-options`` of the tools reads them."""
    parser = argparse.ArgumentParser()
    add_cfg_options(parser)
    return parser.parse_args(['--cfg-options', *options]).cfg_options if options else {}


def _make_run(config: str, base: Config, variant: str, frames: int | None, train_set: str | None, seed: int,
              options: Sequence[str]) -> Run:
    own = [*_variant_options(config, base, variant), *_frame_options(config, base, frames),
           *_train_set_options(config, base, train_set), f'randomness.seed={seed}']
    asked = {option.partition('=')[0] for option in options}
    if taken := asked & {'randomness.seed', 'work_dir'}:
        raise ConfigError(f'--cfg-options {taken.pop()}: the sweep sets it: use --seeds and --work-dir.')
    own = [option for option in own if option.partition('=')[0] not in asked]  # The base has those asked for already.
    cfg = override_config(base, parse_options(own), config)
    lengths = {node['seq_len'] for _, node in _lifting_datasets(config, cfg)}
    if len(lengths) > 1:
        raise ConfigError(f'{config}: found datasets with seq_len {sorted(lengths)}, expected one length.')
    return describe_run(config, cfg, lengths.pop(), variant, seed, (*own, *options))


def describe_run(config: str, cfg: Config, frames: int, variant: str, seed: int, options: Sequence[str]) -> Run:
    """The run of a whole config ``cfg``, which ``options`` made of the one in the file ``config``."""
    train = cfg.train_dataloader.dataset
    sources = [_name(each) for each in train.get('datasets', [train])]
    return Run(config, _name(train), frames, variant, seed, tuple(options), tuple(sources),
               tuple(_name(loader.dataset) for loader in _listed(cfg.get('test_dataloader') or [])),
               _flatten({key: cfg.get(key) for key in _TRAINING}), _flatten({key: cfg.get(key) for key in _TESTING}))


def _variant_options(config: str, cfg: Config, variant: str) -> Iterator[str]:
    if variant not in VARIANTS:
        raise ConfigError(f'--variants: found {variant!r}, expected some of {", ".join(VARIANTS)}.')
    codec = cfg.model.get('codec', {})
    if codec.get('type') != 'ImagePoseLifting':
        raise ConfigError(f'{config}: model.codec is {codec.get("type")!r}, expected ImagePoseLifting, whose channels '
                          'the sweep varies.')
    flags = _INPUTS[variant.removesuffix(_WITH_FEATURES)]
    with_features = variant.endswith(_WITH_FEATURES)
    if codec.get('num_input_channels') is not None:
        yield 'model.codec.num_input_channels=None'
    for key, value in flags.items():
        if codec.get(key) != value:
            yield f'model.codec.{key}={value}'
    if with_features != codec.get('use_feature_maps', False):
        yield f'model.codec.use_feature_maps={with_features}'
    for path, dataset in _lifting_datasets(config, cfg):
        if flags['use_depth'] and not dataset.get('with_depth', True):
            yield f'{path}.with_depth=True'
        if dataset.get('depth_stats') != flags['depth_stats']:
            yield f'{path}.depth_stats={flags["depth_stats"]}'
        if with_features != bool(dataset.get('features')):
            yield f'{path}.features={"[image,depth]" if with_features else "[]"}'


def _frame_options(config: str, cfg: Config, frames: int | None) -> Iterator[str]:
    if frames is None:
        return
    kind = cfg.model.backbone.type
    if kind == 'PoseFormer':
        if cfg.model.backbone.get('num_frames') != frames:
            yield f'model.backbone.num_frames={frames}'
    elif kind == 'TCN':
        if frames not in _KERNEL_SIZES:
            raise ConfigError(f'--frames {frames}: expected one of {", ".join(map(str, _KERNEL_SIZES))} for the TCN of '
                              f'{config}.')
        if tuple(cfg.model.backbone.get('kernel_sizes', ())) != _KERNEL_SIZES[frames]:
            yield f'model.backbone.kernel_sizes=[{",".join(map(str, _KERNEL_SIZES[frames]))}]'
    else:
        raise ConfigError(f'{config}: --frames knows the backbones TCN and PoseFormer, found {kind}.')
    for path, dataset in _lifting_datasets(config, cfg):
        if dataset['seq_len'] != frames:
            yield f'{path}.seq_len={frames}'


def _train_set_options(config: str, cfg: Config, train_set: str | None) -> Iterator[str]:
    if train_set is None:
        return
    for loader in ('train_dataloader', 'val_dataloader'):
        dataset = (cfg.get(loader) or {}).get('dataset')
        if dataset is None and loader == 'val_dataloader':
            continue
        if dataset is None or 'ann_file' not in dataset:
            raise ConfigError(f'{config}: --train-sets needs a single set in {loader}. Joint training has configs of '
                              'its own.')
        yield f'{loader}.dataset.ann_file={_ann_file_of(cfg, dataset.ann_file, train_set)}'
        yield f'{loader}.dataset.dataset_name={train_set}'


def _ann_file_of(cfg: Config, ann_file: str, train_set: str) -> str:
    """What stands for ``ann_file`` in another set: its test annotation for a test annotation, else the same file name.

    Sets do not split alike: Fit3D is tested on its ``val.npz``, for it publishes no truth of its test set.
    """
    tested = {_name(loader.dataset): loader.dataset.get('ann_file') for loader in _listed(cfg.test_dataloader)}
    if ann_file in tested.values() and tested.get(train_set):
        return tested[train_set]
    return Path(train_set, Path(ann_file).name).as_posix()


def _lifting_datasets(config: str, cfg: Config) -> list[tuple[str, Mapping[str, Any]]]:
    """Dotted key and config of every PoseLiftingDataset of the three dataloaders."""
    found: list[tuple[str, Mapping[str, Any]]] = []

    def search(path: str, node: Any) -> None:
        if isinstance(node, Mapping):
            if node.get('type') == 'PoseLiftingDataset':
                found.append((path, node))
            else:
                for key, value in node.items():
                    search(f'{path}.{key}', value)
        elif isinstance(node, list | tuple):
            for index, value in enumerate(node):
                search(f'{path}.{index}', value)

    for loader in _LOADERS:
        search(loader, cfg.get(loader))
    if not {'train_dataloader', 'test_dataloader'} <= {path.partition('.')[0] for path, _ in found}:
        raise ConfigError(f'{config}: expected PoseLiftingDataset in train_dataloader and test_dataloader.')
    for path, node in found:
        if 'seq_len' not in node:
            raise ConfigError(f'{config}: {path} says no seq_len, which tells the length of windows.')
    return found


def _name(dataset: Mapping[str, Any]) -> str:
    if dataset.get('dataset_name'):
        return dataset['dataset_name']
    if 'datasets' in dataset:
        return '+'.join(_name(each) for each in dataset['datasets'])
    return Path(dataset['ann_file']).parent.name


def _listed(loaders: Any) -> Sequence[Mapping[str, Any]]:
    return loaders if isinstance(loaders, list | tuple) else [loaders]


def _flatten(node: Any, path: str = '') -> dict[str, Any]:
    """Dotted key -> value, as JSON would give it back."""
    if isinstance(node, list | tuple):
        node = dict(enumerate(node))
    if not isinstance(node, Mapping):
        return {path: json.loads(json.dumps(node, default=str))}
    flat: dict[str, Any] = {}
    for key, value in node.items():
        if key not in _MACHINE:
            flat.update(_flatten(value, f'{path}.{key}' if path else str(key)))
    return flat
