"""Runs of the stages of layout generation on random data: seconds, each stage from the one before."""

from pathlib import Path

import torch
from mmengine.config import Config

from motionlab.engine import MotionRunner
from motionlab.engine.checkpoint import load_checkpoint_file, load_weights
from motionlab.models import LayoutDiffuser
from motionlab.registry import MODELS
from tests.layout_models import model_config, run_config
from tests.test_engine.toy import train

SEED = 3  # Of run_config, and so of the random base.
LEARNING_RATES = {0: 1e-3, 1: 3e-3, 2: 2e-3, 3: 1e-3}


def stage_config(folder: str | Path, stage: int, *, steps: int = 4, hooks: tuple[dict, ...] = (), **options) -> Config:
    """A run of a stage in ``folder/stage{n}``: a checkpoint every step, some references dropped, its own learning rate.
    """
    options['model'] = dict(reference_dropout=0.2) | options.get('model', {})
    cfg = run_config(Path(folder) / f'stage{stage}', stage, steps=steps, hooks=(dict(type='LayoutStageHook'), *hooks),
                     **options)
    cfg.optim_wrapper.optimizer.lr = LEARNING_RATES[stage]
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1)
    return cfg


def train_stage(folder: str | Path, stage: int, **options) -> MotionRunner:
    """Train a stage, from 2 on with the last weights of the stage before."""
    cfg = stage_config(folder, stage, **options)
    if stage > 1:
        cfg.load_from = str(last_checkpoint(folder, stage - 1))
    return train(cfg)


def last_checkpoint(folder: str | Path, stage: int) -> Path:
    """The newest checkpoint of a stage."""
    work_dir = Path(folder) / f'stage{stage}'
    return work_dir / (work_dir / 'last_checkpoint').read_text()


def load_model(stage: int, checkpoint: str | Path, **options) -> LayoutDiffuser:
    """The model of a checkpoint file or folder, all of whose weights must fit, on the base of the runs."""
    torch.manual_seed(SEED)
    model = MODELS.build(model_config(stage, **options))
    load_weights(model, load_checkpoint_file(checkpoint)['state_dict'], checkpoint, strict=True)
    return model.eval()
