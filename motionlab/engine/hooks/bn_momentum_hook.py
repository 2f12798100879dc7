"""Let batch normalisation remember longer as training goes on."""

from mmengine.hooks import Hook
from torch.nn.modules.batchnorm import _BatchNorm

from motionlab.registry import HOOKS
from motionlab.utils import ConfigError


@HOOKS.register_module()
class BNMomentumHook(Hook):
    """Decay the momentum of all batch normalisations exponentially: ``initial * (final / initial) ** (e / E)``.

    e of E epochs are over (iterations with IterLoop). With the defaults this is VideoPose3D's
    ``0.1 * exp(-(e / E) * ln 100)`` (Pavllo et al., CVPR 2019, and their code). The momentum follows from the loop's
    counters alone, so a resumed run goes on with the right one, and an extended run with that of its new length.

    Args:
        initial: Weight of the newest batch in the running statistics at the beginning, in (0, 1].
        final: The same at the end, in (0, 1].

    Raises:
        ConfigError: a value out of range, or a model without batch normalisation.
    """

    def __init__(self, initial: float = 0.1, final: float = 0.001):
        if not (0 < initial <= 1 and 0 < final <= 1):
            raise ConfigError(f'BNMomentumHook: found initial={initial}, final={final}, expected numbers in (0, 1].')
        self.initial, self.final = initial, final
        self._layers: list[_BatchNorm] = []

    def before_train(self, runner) -> None:
        """Find the layers."""
        self._layers = [module for module in runner.model.modules() if isinstance(module, _BatchNorm)]
        if not self._layers:
            raise ConfigError('BNMomentumHook: the model has no batch normalisation.')

    def before_train_epoch(self, runner) -> None:
        """Set the momentum of this epoch, also when it is gone on with in its middle."""
        if runner.train_loop.by_epoch:
            self._set(runner.epoch / runner.max_epochs)

    def before_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Set the momentum of this iteration where there are no epochs."""
        if not runner.train_loop.by_epoch:
            self._set(runner.iter / runner.max_iters)

    def _set(self, progress: float) -> None:
        for layer in self._layers:
            layer.momentum = self.initial * (self.final / self.initial) ** progress
