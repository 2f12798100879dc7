"""What training and evaluating a pose prior needs of the engine: the epoch, the body, and warnings."""

from mmengine.hooks import Hook

from motionlab.codecs import pose_prior_batch as keys
from motionlab.evaluation.functional.pose_prior import looks_untrained
from motionlab.registry import HOOKS
from motionlab.utils import ConfigError

_META_KEY = 'body'


@HOOKS.register_module()
class PosePriorHook(Hook):
    """Accompanies a :class:`motionlab.models.PosePrior`.

    - Tells the model the epoch before each iteration, from the counters of the loop, so a resumed run goes on with the
      right terms. With IterLoop an epoch is one pass over the data: (samples seen) // (size of the data set).
    - Names the body that losses and metrics are measured on, in the log and in ``meta['body']`` of checkpoints (as
      text), and warns when a checkpoint was made with another body: the numbers depend on it.
    - Warns when weights that were loaded give the numbers of an untrained network.

    Raises:
        ConfigError: the model is of another kind.
    """

    priority = 'HIGH'

    def __init__(self) -> None:
        self._extra_terms: bool | None = None

    def before_train(self, runner) -> None:
        """The body must be there before anything is trained."""
        runner.logger.info(f'Distances are measured on the body {_model(runner).load_body()}.')

    def before_test(self, runner) -> None:
        """Name the body."""
        runner.logger.info(f'Distances are measured on the body {_model(runner).load_body()}.')

    def before_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Set the epoch, and say when terms begin or end to count."""
        model, epoch = runner.bare_model, epoch_of(runner.train_loop)
        model.set_epoch(epoch)
        extra = epoch < model.head.extra_terms_until_epoch
        if extra != self._extra_terms:
            runner.logger.info(f'Epoch {epoch} (from 0), iteration {runner.iter}: geo and jtr_l1 '
                               f'{"count" if extra else "do not count any more"} in the loss.')
            self._extra_terms = extra

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Store which body it was, never the body."""
        checkpoint['meta'][_META_KEY] = runner.bare_model.load_body()

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Compare the checkpoint's body with the config's."""
        theirs, ours = checkpoint.get('meta', {}).get(_META_KEY), _model(runner).load_body()
        if theirs is None:
            runner.logger.info('The checkpoint does not say which body it was trained with.')
        elif _content(theirs) != _content(ours):
            runner.logger.warning(f'The checkpoint was trained with the body {theirs}; this run measures on {ours}. '
                                  'Distances of vertices and joints depend on the body.')

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


def _content(description: str) -> str:
    """The fingerprint that ends a body's description: a file may be renamed."""
    return description.rpartition(' ')[2]


def epoch_of(loop) -> int:
    """The epoch (from 0) that the next iteration of a training loop belongs to."""
    if loop.by_epoch:
        return loop.epoch
    return loop.state()['samples_seen'] // len(loop.dataloader.dataset)


def _model(runner):
    model = runner.bare_model
    if not hasattr(model, 'load_body'):
        raise ConfigError(f'PosePriorHook: found a {type(model).__name__}, expected a PosePrior.')
    return model
