"""Log to the terminal, ``logs/scalars.json`` and TensorBoard."""

import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import LoggerHook as MMLoggerHook
from torch import Tensor

from motionlab.registry import HOOKS


@HOOKS.register_module()
class LoggerHook(MMLoggerHook):
    """MMEngine's logger hook with one kind of step, the iteration, for training and validation alike.

    Args:
        interval: Log every so many iterations.
        ignore_last: Leave out the last iterations of an epoch when they are fewer than ``interval``.
    """

    def __init__(self, interval: int = 10, ignore_last: bool = True):
        super().__init__(interval=interval, ignore_last=ignore_last, log_metric_by_epoch=False)

    def after_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None,
                         outputs: dict[str, Tensor] | None = None) -> None:
        """Have the losses read from the device where they are logged, and only there."""
        if self.every_n_inner_iters(batch_idx, self.interval) or self.end_of_epoch(runner.train_dataloader, batch_idx):
            runner.call_hook('flush_scalars')
        super().after_train_iter(runner, batch_idx, data_batch, outputs)

    def after_test_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        """Log the results and write them to ``logs/<timestamp>.json``, once."""
        if is_main_process():
            super().after_test_epoch(runner, metrics)

    @staticmethod
    def _process_tags(tags: dict) -> dict:
        """MMEngine writes null for counts: logged integers come back as NumPy's, which it does not know."""
        return {name: value.item() if isinstance(value, np.generic) else value for name, value in tags.items()}
