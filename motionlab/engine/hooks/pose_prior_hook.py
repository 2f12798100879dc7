"""What training and evaluating a pose prior needs of the engine: the epoch, and a warning."""

from mmengine.hooks import Hook

from motionlab.codecs import pose_prior_batch as keys
from motionlab.evaluation.functional.pose_prior import looks_untrained
from motionlab.registry import HOOKS
from motionlab.utils import ConfigError


@HOOKS.register_module()
class PosePriorHook(Hook):
    """Accompanies a :class:`motionlab.models.PosePrior`.

    - Tells the model the epoch before each iteration, from the counters of the loop, so a resumed run goes on with the
      right terms. With IterLoop an epoch is one pass over the data: (samples seen) // (size of the data set).
    - Warns when weights that were loaded give the numbers of an untrained network.

    Raises:
        ConfigError: the model is of another kind.
    """

    priority = 'HIGH'

    def __init__(self) -> None:
        self._extra_terms: bool | None = None

    def before_train(self, runner) -> None:
        """Epochs are for a pose prior only."""
        model = runner.bare_model
        if not hasattr(model, 'set_epoch'):
            raise ConfigError(f'PosePriorHook: found a {type(model).__name__}, expected a PosePrior.')

    def before_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Set the epoch, and say when terms begin or end to count."""
        model, epoch = runner.bare_model, epoch_of(runner.train_loop)
        model.set_epoch(epoch)
        extra = epoch < model.head.extra_terms_until_epoch
        if extra != self._extra_terms:
            runner.logger.info(f'Epoch {epoch} (from 0), iteration {runner.iter}: geo and jtr_l1 '
                               f'{"count" if extra else "do not count any more"} in the loss.')
            self._extra_terms = extra

    def after_test_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        """Look whether loaded weights do what trained ones would."""
        if runner.mode == 'fresh':
            return
        for name, kl in (metrics or {}).items():
            prefix, _, term = name.rpartition('/')
            geo = metrics.get(f'{prefix}/{keys.GEO}' if prefix else keys.GEO)
            if term == keys.KL and geo is not None and looks_untrained(kl, geo):
                runner.logger.warning(
                    f'{prefix or "test"}: kl {kl:.2f} and geo {geo:.2f} are what UNTRAINED weights give. Were the '
                    'right weights loaded, and are they trained?')


def epoch_of(loop) -> int:
    """The epoch (from 0) that the next iteration of a training loop belongs to."""
    if loop.by_epoch:
        return loop.epoch
    return loop.state()['samples_seen'] // len(loop.dataloader.dataset)
