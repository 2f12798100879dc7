"""Models and batches of frame prediction small enough for a second."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch import Tensor, nn

from motionlab.engine.config import load_config
from motionlab.models import FramePredictor
from motionlab.registry import MODELS
from tests.conftest import REPO

CONFIGS = REPO / 'configs/frame_prediction'
SMALLEST = CONFIGS / 'sana-h96-d4_1xb16-1500_maze64.py'
CHANNELS = 12  # Of a latent: 2 x 2 pixels.


def model_config(*, codec: Mapping | None = None, backbone: Mapping | None = None, head: Mapping | None = None,
                 **model) -> dict:
    """A FramePredictor of width 16 on 2 x 2 pixels per position; two past frames."""
    return dict(
        type='FramePredictor', codec=dict(type='SpaceToDepth', patch=2) | dict(codec or {}),
        backbone=dict(type='FrameDiT', num_history=2, embed_dim=16, depth=2, linear_head_dim=8, num_cross_heads=4,
                      token_dim=8, num_context_levels=10) | dict(backbone or {}),
        head=dict(type='FlowMatchingHead') | dict(head or {}), **model)


def make_model(seed: int = 0, **options) -> FramePredictor:
    """The model of :func:`model_config` with weights of ``seed`` that all have an effect; in evaluation mode.

    Tokens start narrow, so that actions hardly matter before training: they are widened.
    """
    pytest.importorskip('diffusers')
    torch.manual_seed(seed)
    model = MODELS.build(model_config(**options)).eval()
    with torch.no_grad():
        nn.init.ones_(model.backbone.dit.net.caption_norm.weight)
    return model


def make_batch(size: int = 3, height: int = 8, width: int = 8, *, num_history: int = 2, num_targets: int = 1,
               seed: int = 0, first: int = 0) -> dict[str, Tensor]:
    """Random frames and actions."""
    generator = torch.Generator().manual_seed(seed)

    def integers(high: int, *shape: int) -> Tensor:
        return torch.randint(high, shape, generator=generator)

    frames = integers(256, size, num_history + num_targets, height, width, 3).to(torch.uint8)
    slots = num_history + num_targets - 1
    return {'history': frames[:, :num_history],
            'target': frames[:, num_history:] if num_targets > 1 else frames[:, num_history],
            'actions': integers(5, size, slots), 'action_mask': torch.ones(size, slots, dtype=torch.bool),
            'episode': torch.zeros(size, dtype=torch.long), 'index': torch.arange(size) + 2,
            'sample_index': torch.arange(size) + first}


def latents(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers, e.g. of the shape (B, C, h, w) or (B, S, C, h, w)."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def run_config(store: Path, work_dir: Path | str = 'unused', **options) -> Config:
    """The smallest config of the repository with a model of width 16, on a store with the splits train and val.

    4 iterations in batches of 2, validated at the last; ``options`` are dotted keys, with ``__`` for dots.
    """
    changes = {'work_dir': str(work_dir), 'log_level': 'INFO', 'train_cfg.max_iters': 4, 'train_cfg.val_interval': 4,
               'default_hooks.logger.interval': 1, 'default_hooks.checkpoint.interval': 1,
               'default_hooks.checkpoint.max_keep_ckpts': -1, 'log_processor.window_size': 1,
               'train_dataloader.batch_size': 2, 'val_dataloader.batch_size': 2, 'param_scheduler': [],
               'model.codec.patch': 2, 'model.backbone.embed_dim': 16, 'model.backbone.depth': 1,
               'model.backbone.linear_head_dim': 8, 'model.backbone.num_cross_heads': 2,
               'model.backbone.num_history': 2}
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader.0', 'test_dataloader.1'):
        changes |= {f'{loader}.dataset.data_root': str(store.parent), f'{loader}.dataset.ann_file': store.name,
                    f'{loader}.dataset.num_history': 2}
    changes |= {f'test_dataloader.{number}.dataset.split': 'val' for number in range(2)}
    return load_config(SMALLEST, changes | {key.replace('__', '.'): value for key, value in options.items()})


class Spy:
    """Stands before a method of an object, counts calls and keeps arguments and results."""

    def __init__(self, owner: object, name: str, monkeypatch: pytest.MonkeyPatch):
        self.method, self.calls, self.results = getattr(owner, name), [], []
        # Not on the class: nn.Module would take the spy for what it is asked to store.
        monkeypatch.setitem(owner.__dict__, name, self)

    def __call__(self, *args, **kwargs):
        self.calls.append((args, kwargs))
        self.results.append(self.method(*args, **kwargs))
        return self.results[-1]

    def __len__(self) -> int:
        return len(self.calls)
