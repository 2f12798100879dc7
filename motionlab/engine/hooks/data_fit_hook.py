"""Data that a model is not made for are refused before it is trained or tested on them."""

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop

from motionlab.registry import HOOKS


@HOOKS.register_module()
class DataFitHook(Hook):
    """Shows the ``metainfo`` of every dataset to a model that has a ``check_data``, before any batch.

    Raises:
        ConfigError: as the model's ``check_data`` does, e.g. motion of another frame rate.
    """

    priority = 'HIGH'  # Before anything is trained or written.

    def before_train(self, runner) -> None:
        """Training data, and those of the validations to come."""
        self._check(runner, runner.train_loop)
        if isinstance(runner._val_loop, BaseLoop):
            self._check(runner, runner.val_loop)

    def before_test(self, runner) -> None:
        """Test data."""
        self._check(runner, runner.test_loop)

    @staticmethod
    def _check(runner, loop: BaseLoop) -> None:
        if not hasattr(runner.bare_model, 'check_data'):
            return
        for loader in getattr(loop, 'loaders', [loop.dataloader]):
            for dataset in getattr(loader.dataset, 'datasets', [loader.dataset]):
                runner.bare_model.check_data(getattr(dataset, 'metainfo', None) or {})
