"""Which body a model is trained and measured on: in the log and in checkpoints."""

from mmengine.hooks import Hook

from motionlab.registry import HOOKS
from motionlab.utils import ConfigError

_META_KEY = 'body'


@HOOKS.register_module()
class BodyHook(Hook):
    """Reads the body of a model before anything is trained, and names it.

    The name is logged and stored as text in ``meta['body']`` of checkpoints. A checkpoint that was made with another
    body is warned of: losses and metrics depend on it.

    Raises:
        ConfigError: the model is of a kind without a body, or its config names none.
    """

    priority = 'HIGH'

    def before_train(self, runner) -> None:
        """The body must be there before anything is trained."""
        runner.logger.info(f'Distances are measured on the body {_load_body(runner)}.')

    def before_test(self, runner) -> None:
        """Name the body."""
        runner.logger.info(f'Distances are measured on the body {_load_body(runner)}.')

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Store which body it was, never the body."""
        checkpoint['meta'][_META_KEY] = _load_body(runner)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Compare the checkpoint's body with the config's."""
        theirs, ours = checkpoint.get('meta', {}).get(_META_KEY), _load_body(runner)
        if theirs is None:
            runner.logger.info('The checkpoint does not say which body it was trained with.')
        elif _content(theirs) != _content(ours):
            runner.logger.warning(f'The checkpoint was trained with the body {theirs}; this run measures on {ours}. '
                                  'Distances of vertices and joints depend on the body.')


def _content(description: str) -> str:
    """The fingerprint that ends a body's description: a file may be renamed."""
    return description.rpartition(' ')[2]


def _load_body(runner) -> str:
    model = runner.bare_model
    if not hasattr(model, 'load_body'):
        raise ConfigError(f'BodyHook: found a {type(model).__name__}, which has no body.')
    return model.load_body()
