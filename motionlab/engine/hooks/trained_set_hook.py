"""Proof that training changes what it is meant to change, and nothing else."""

from mmengine.hooks import Hook
from torch import nn

from motionlab.engine.sharding import local_part
from motionlab.registry import HOOKS
from motionlab.utils import CheckpointError
from motionlab.utils.tensor_hash import tensors_hash

_SHOWN = 8


@HOOKS.register_module()
class TrainedSetHook(Hook):
    """Compares checksums of every parameter before and after training.

    How many were trained and how many stayed is logged, trained ones that did not change are warned about: something
    cuts their gradient off, or nothing was trained.

    Raises:
        CheckpointError: parameters without gradients have changed.
    """

    priority = 'HIGH'

    def __init__(self) -> None:
        self._before: dict[str, str] = {}

    def before_train(self, runner) -> None:
        """Remember."""
        self._before = parameter_hashes(runner.bare_model)

    def after_train(self, runner) -> None:
        """Compare."""
        changed = changed_parameters(self._before, parameter_hashes(runner.bare_model))
        trained = {name for name, parameter in runner.bare_model.named_parameters() if parameter.requires_grad}
        wrong, idle = sorted(changed - trained), sorted(trained - changed)
        if wrong:
            raise CheckpointError(f'{len(wrong)} parameters that take no gradients have changed in training: '
                                  f'{_listed(wrong)}.')
        runner.logger.info(f'Trained {len(changed)} parameters; the checksums of {len(self._before) - len(changed)} '
                           'others are what they were.')
        if idle:
            runner.logger.warning(f'{len(idle)} trained parameters did not change: {_listed(idle)}.')


def parameter_hashes(model: nn.Module) -> dict[str, str]:
    """A checksum of every parameter by its name; of a sharded one, of this process's share."""
    return {name: tensors_hash([(name, local_part(parameter))]) for name, parameter in model.named_parameters()}


def changed_parameters(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """Names whose checksums of :func:`parameter_hashes` differ."""
    return {name for name, value in after.items() if before.get(name) != value}


def _listed(names: list[str]) -> str:
    return ', '.join(names[:_SHOWN]) + (', ...' if len(names) > _SHOWN else '')
