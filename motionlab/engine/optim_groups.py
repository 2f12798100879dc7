"""An optimizer with as few groups of parameters as there are settings."""

from collections.abc import Mapping

from mmengine.optim import OptimWrapper
from torch import nn

from motionlab.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS
from motionlab.utils import ConfigError

_KNOWN = {'custom_keys', 'bias_decay_mult', 'norm_decay_mult'}
_MULTIPLIERS = {'lr_mult', 'decay_mult'}


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class GroupedOptimWrapperConstructor:
    """Groups parameters by learning rate and weight decay; frozen ones are left out.

    MMEngine's makes one group of each parameter, which costs the fused step, a warning for each frozen one, and takes
    for biases only what has one dimension: those of stacked layers have two.

    ``paramwise_cfg`` may have ``custom_keys``, ``{part of a name: dict(lr_mult=..., decay_mult=...)}``, of which the
    longest that is part of a name counts; ``bias_decay_mult`` of all parameters named ``bias``, and
    ``norm_decay_mult`` of all others of one dimension, the scales of norms. A group's ``name`` is its key, ``''`` for
    parameters without one.

    Args:
        optim_wrapper_cfg: The config's ``optim_wrapper``.
        paramwise_cfg: See above.

    Raises:
        ConfigError: unknown options, or nothing is trained.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: Mapping | None = None):
        self.wrapper = dict(optim_wrapper_cfg)
        self.optimizer = dict(self.wrapper.pop('optimizer'))
        self.options = dict(paramwise_cfg or {})
        self.keys = dict(self.options.get('custom_keys', {}))
        unknown = [*(set(self.options) - _KNOWN), *(name for key in self.keys.values() for name in set(key) -
                                                    _MULTIPLIERS)]
        if unknown:
            raise ConfigError(f'optim_wrapper.paramwise_cfg: found {unknown[0]!r}, expected one of {sorted(_KNOWN)}, '
                              f'and in custom_keys one of {sorted(_MULTIPLIERS)}.')

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the wrapper around an optimizer of the trained parameters of ``model``."""
        model = getattr(model, 'module', model)  # Without the distributed wrapper.
        groups: dict[tuple[str, float], list[nn.Parameter]] = {}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                groups.setdefault(self._place(name, parameter), []).append(parameter)
        if not groups:
            raise ConfigError('optim_wrapper: no parameter takes gradients, nothing would be trained.')
        base = self.optimizer
        params = [{'params': members, 'name': key, 'lr': base['lr'] * self.keys.get(key, {}).get('lr_mult', 1.0),
                   'weight_decay': base.get('weight_decay', 0.0) * decay}
                  for (key, decay), members in groups.items()]
        optimizer = OPTIMIZERS.build(dict(base, params=params))
        return OPTIM_WRAPPERS.build({'type': 'OptimWrapper', **self.wrapper}, default_args={'optimizer': optimizer})

    def _place(self, name: str, parameter: nn.Parameter) -> tuple[str, float]:
        """Key of a parameter, and factor of its weight decay."""
        key = max((key for key in self.keys if key in name), key=len, default='')
        decay = self.keys.get(key, {}).get('decay_mult', 1.0)
        if name.rpartition('.')[2] == 'bias':
            return key, decay * self.options.get('bias_decay_mult', 1.0)
        return key, decay * (self.options.get('norm_decay_mult', 1.0) if parameter.ndim <= 1 else 1.0)
