"""Checkpoints as PyTorch-Lightning leaves them, which is not needed for it."""

import argparse
import collections
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


def save_lightning(path: Path, weights: dict[str, Tensor], schema: str = 'old', zipped: bool = True,
                   entries: dict | None = None) -> Path:
    """Write a checkpoint of its first versions, or after its upgrade tool, with settings of foreign classes.

    Args:
        path: To write.
        weights: The ``state_dict``.
        schema: ``old`` or ``upgraded``.
        zipped: In the present format of torch.save, or in that of before 1.6.
        entries: What stands beside the weights, as callbacks save it.
    """
    entries = entries or {}
    with _lightning() as classes:
        settings = classes['AttributeDict'](lr=1e-3, betas=(0.9, 0.999))
        settings.origin = 'yaml'
        loose = argparse.Namespace(expr_id='V02_05', folder=Path('a/b'), score=np.float64(0.03), rate=np.float32(0.3))
        content = {
            'epoch': 14, 'global_step': 36862, 'pytorch-lightning_version': '1.1.0',
            'state_dict': collections.OrderedDict(weights), **entries, 'lr_schedulers': [{'best': torch.tensor(0.03)}],
            'optimizer_states': [{'state': {0: {'step': 3, 'exp_avg': torch.ones(2)}}, 'param_groups': [{'lr': 1e-3}]}],
            'hyper_parameters': settings, 'hparams_name': '_config',
            'settings': {'namespace': loose, 'tree': classes['DotMap'](a=classes['DotMap'](b=1)),
                         'omega': classes['DictConfig']({'x': 1}), 'counts': collections.defaultdict(list, {1: [2]})}}
        if schema == 'old':
            content.update(early_stop_callback_wait=0, early_stop_callback_patience=10,
                           checkpoint_callback_best_model_score=torch.tensor(0.03),
                           checkpoint_callback_best_model_path='/ps/V02_05_epoch=13_val_loss=0.03.ckpt')
        else:
            content.update(callbacks={
                classes['EarlyStopping']: {'wait_count': 0, 'best_score': torch.tensor(0.03), 'patience': 10},
                classes['ModelCheckpoint']: {'monitor': classes['Monitor']('val_loss'), 'best': np.float64(3)}},
                loops={'fit_loop': {'state_dict': {}}})
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


@contextmanager
def _lightning() -> Iterator[dict[str, type]]:
    """Classes under the names of Lightning's and its friends', which vanish afterwards as if nothing were installed."""
    bases = {'pytorch_lightning.callbacks.early_stopping.EarlyStopping': object,
             'pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint': object,
             'pytorch_lightning.utilities.parsing.AttributeDict': dict,
             'omegaconf.dictconfig.DictConfig': _Config, 'dotmap.DotMap': collections.OrderedDict,
             'pytorch_lightning.utilities.enums.Monitor': str}
    before, classes = dict(sys.modules), {}
    try:
        for full, base in bases.items():
            place, name = full.rsplit('.', 1)
            for end in range(1, place.count('.') + 2):
                part = '.'.join(place.split('.')[:end])
                sys.modules[part] = sys.modules.get(part, types.ModuleType(part))
            classes[name] = type(name, (base,), {'__module__': place})
            setattr(sys.modules[place], name, classes[name])
        yield classes
    finally:
        for part in sys.modules.keys() - before.keys():
            del sys.modules[part]


class _Config:
    def __init__(self, content: dict):
        self.content = content
