"""A model, a dataset and configs small enough to train in a second, with everything that makes resuming hard.

Dropout draws from the global generator, batch normalisation keeps statistics, batches are shuffled, gradients are
accumulated and clipped, the learning rate warms up and decays, and an average of the weights is evaluated.
"""

import copy
import json
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseDataPreprocessor, BaseModel
from torch import Tensor, nn
from torch.utils.data import Dataset

from motionlab.engine import MotionRunner
from motionlab.registry import DATASETS, FUNCTIONS, HOOKS, METRICS, MODELS
from motionlab.utils.random import batch_rand


@DATASETS.register_module(force=True)
class ToyDataset(Dataset):
    """Noisy linear regression, handed out in batches; ``broken`` is the index of a sample that is NaN."""

    def __init__(self, size: int = 22, name: str = 'toy', seed: int = 0, broken: int | None = None):
        generator = torch.Generator().manual_seed(seed)
        self.x = torch.randn(size, 4, generator=generator)
        self.y = self.x.sum(1, keepdim=True) + 0.1 * torch.randn(size, 1, generator=generator)
        if broken is not None:
            self.x[broken] = torch.nan
        self.metainfo = {'dataset_name': name}
        self.reads = 0

    def __len__(self) -> int:
        return len(self.x)

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        self.reads += 1
        index = torch.tensor(indices)
        return {'x': self.x[index], 'y': self.y[index], 'sample_index': index}


@FUNCTIONS.register_module(force=True)
def toy_collate(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return batch


class _Preprocessor(BaseDataPreprocessor):

    def forward(self, data: dict, training: bool = False) -> dict:
        return {'batch': self.cast_data(data)}


@MODELS.register_module(force=True)
class ToyModel(BaseModel):
    """Linear, BatchNorm, Dropout (or a mask from the batch stream, the same on any number of ranks), Linear."""

    def __init__(self, width: int = 6, shared_noise: bool = False, extra: bool = False):
        super().__init__(data_preprocessor=_Preprocessor())
        self.inner = nn.Linear(4, width, bias=False)  # Its gradient before a normalisation would be noise.
        self.norm = nn.BatchNorm1d(width)
        self.dropout = nn.Dropout(0.3)
        self.outer = nn.Linear(width, 1)
        self.frozen = nn.Linear(1, 1).requires_grad_(False)
        self.shared_noise = shared_noise
        if extra:
            self.extra = nn.Linear(2, 2).requires_grad_(False)

    def forward(self, batch: dict[str, Tensor], mode: str = 'tensor'):
        hidden = torch.relu(self.norm(self.inner(batch['x'])))
        if self.shared_noise and self.training:
            hidden = hidden * (batch_rand(hidden.shape, hidden.device) > 0.3) / 0.7
        else:
            hidden = self.dropout(hidden)
        out = self.frozen(self.outer(hidden))
        if mode == 'loss':
            return {'loss_mse': nn.functional.mse_loss(out, batch['y']), 'magnitude': out.abs().mean()}
        if mode == 'predict':
            return {'out': out, 'y': batch['y'], 'sample_index': batch['sample_index']}
        return out


@METRICS.register_module(force=True)
class ToyMetric(BaseMetric):
    """Mean absolute error over distinct samples, counted once each on any number of ranks."""

    def __init__(self):
        super().__init__(collect_device='cpu')

    def process(self, data_batch: dict, predictions: dict[str, Tensor]) -> None:
        error = (predictions['out'] - predictions['y']).abs().squeeze(1)
        self.results.extend(zip(predictions['sample_index'].tolist(), error.tolist()))

    def compute_metrics(self, results: list) -> dict[str, float]:
        distinct = dict(results)
        return {'error': sum(distinct[i] for i in sorted(distinct)) / len(distinct), 'samples': len(distinct)}


def loader(size: int = 22, batch_size: int = 4, workers: int = 0, shuffle: bool = True, **dataset) -> dict:
    return dict(dataset=dict(type='ToyDataset', size=size, **dataset), batch_size=batch_size, num_workers=workers,
                persistent_workers=workers > 0, sampler=dict(type='ResumableSampler', shuffle=shuffle),
                collate_fn=dict(type='toy_collate'))


def config(work_dir, epochs: int | None = 4, iters: int | None = None, workers: int = 0, batch_size: int = 4,
           ema: bool = True, accumulate: int = 2, model: dict | None = None, **changes) -> Config:
    """22 samples in batches of 4 are 6 iterations an epoch, the last one of 2 samples."""
    by_epoch = iters is None
    total = epochs * 6 if by_epoch else iters
    cfg = dict(
        work_dir=str(work_dir),
        default_scope='motionlab',
        log_level='ERROR',
        model=dict(type='ToyModel', **(model or {})),
        train_dataloader=loader(batch_size=batch_size, workers=workers),
        val_dataloader=loader(size=9, batch_size=4, shuffle=False, seed=1),
        test_dataloader=loader(size=9, batch_size=4, shuffle=False, seed=1),
        train_cfg=dict(type='EpochLoop', max_epochs=epochs) if by_epoch else dict(
            type='IterLoop', max_iters=iters, val_interval=5),
        val_cfg=dict(type='EvalLoop'), test_cfg=dict(type='EvalLoop'),
        val_evaluator=dict(type='ToyMetric'), test_evaluator=dict(type='ToyMetric'),
        optim_wrapper=dict(type='OptimWrapper', accumulative_counts=accumulate, clip_grad=dict(max_norm=1.0),
                           optimizer=dict(type='AdamW', lr=0.02)),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.1, begin=0, end=5, by_epoch=False),
            dict(type='CosineAnnealingLR', T_max=total, begin=5, end=total, by_epoch=False)],
        default_hooks=dict(logger=dict(type='LoggerHook', interval=2), checkpoint=dict(
            type='CheckpointHook', interval=1 if by_epoch else 6, save_best='error')),
        custom_hooks=[dict(type='EMAHook', decay=0.9, begin_iter=3)] if ema else [],
        log_processor=dict(type='LogProcessor', window_size=4),
        randomness=dict(seed=5),
        resume=False, load_from=None, **changes)
    return Config(cfg)


def train(cfg: Config) -> MotionRunner:
    runner = MotionRunner.from_cfg(cfg)
    runner.train()
    return runner


@HOOKS.register_module(force=True)
class StopAt(Hook):
    """End training at a safe point, as a signal would."""

    def __init__(self, iteration: int):
        self.iteration = iteration

    def safe_point(self, runner) -> None:
        if runner.iter == self.iteration:
            runner.train_loop.stop_training = True


def stop_and_resume(cfg: Config, *stops: int) -> MotionRunner:
    """Train with interruptions at the given iterations, each continued by a new runner."""
    for stop in stops:
        part = Config(copy.deepcopy(cfg.to_dict()))
        part.custom_hooks.append(dict(type='StopAt', iteration=stop))
        part.resume = stop != stops[0]
        train(part)
    cfg.resume = True
    return train(cfg)


def load(path: Path) -> dict:
    return torch.load(path)  # The default mode refuses everything but plain data.


def assert_same_run(one: Path, other: Path, last: str) -> None:
    """Two work dirs hold the same training, bit for bit: checkpoint, best weights if any, and logged numbers."""
    best = sorted({path.name for folder in (one, other) for path in folder.glob('best_model.pth')})
    for name in (last, *best):
        a, b = load(one / name), load(other / name)
        for checkpoint in (a, b):
            for key in ('cfg', 'time', 'experiment_name'):
                del checkpoint['meta'][key]
            hub = checkpoint.get('message_hub', {'scalars': {}, 'info': {}})
            hub['scalars'] = {key: value for key, value in hub['scalars'].items() if 'time' not in key}
            hub['info'].pop('eta', None)
        a, b = dict(_leaves(a)), dict(_leaves(b))
        assert a.keys() == b.keys()
        assert [path for path in a if not _identical(a[path], b[path])] == []
    assert _log(one) == _log(other)


def _leaves(value, path: str = ''):
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else None
    if items is None:
        yield path, value
        return
    for key, item in items:
        yield from _leaves(item, f'{path}/{key}')


def _identical(a, b) -> bool:
    return torch.equal(a, b) if isinstance(a, Tensor) else a == b


def _log(work_dir: Path) -> list[dict]:
    lines = (work_dir / 'logs' / 'scalars.json').read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if 'time' not in key} for line in lines]
