"""Train a part of a network on a trained rest that stays as it is."""

import torch
from mmengine.hooks import Hook

from motionlab.engine.sharding import local_part
from motionlab.registry import HOOKS
from motionlab.utils import CheckpointError, ConfigError
from motionlab.utils.tensor_hash import tensors_hash


@HOOKS.register_module()
class FrozenBaseHook(Hook):
    """Accompanies training of an adapter: wants a trained base, and proves that it has not changed.

    The hash of all weights without gradients is logged before and after training.

    Raises:
        ConfigError: training would begin with fresh weights.
        CheckpointError: weights without gradients have changed.
    """

    priority = 'HIGH'

    def __init__(self) -> None:
        self._loaded, self._before = False, ''

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """There are weights to begin with."""
        self._loaded = True

    def before_train(self, runner) -> None:
        """Refuse fresh weights."""
        if not self._loaded:
            raise ConfigError('An adapter is trained on a trained network, and there is none: give it with '
                              'tools/train.py --finetune CHECKPOINT, or load_from.')
        self._before = frozen_hash(runner.bare_model)
        runner.logger.info(f'Weights that are not trained: sha256 {self._before}')

    def after_train(self, runner) -> None:
        """Compare."""
        after = frozen_hash(runner.bare_model)
        if after != self._before:
            raise CheckpointError(f'Weights that are not trained had the sha256 {self._before}, now {after}.')
        runner.logger.info(f'Weights that are not trained are unchanged: sha256 {after}')


def frozen_hash(model: torch.nn.Module) -> str:
    """sha256 of the names and values of all parameters that take no gradients, 16 hexadecimal digits of it.

    Of weights that are shared out between processes, of this one's share.
    """
    return tensors_hash((name, local_part(param)) for name, param in model.named_parameters()
                        if not param.requires_grad)
