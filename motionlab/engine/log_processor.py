"""What is printed and written of the numbers that training collects."""

from typing import Any

from mmengine.runner import LogProcessor as MMLogProcessor

from motionlab.registry import LOG_PROCESSORS

# Searched in the names that are to be averaged over the window; of all others the newest value is shown.
_ALL_BUT_RATES = r'^(?!.*lr$)'
_TIMES = r'^(data_)?time$'


@LOG_PROCESSORS.register_module()
class LogProcessor(MMLogProcessor):
    """MMEngine's log processor, but every number of a training iteration is averaged over the window.

    MMEngine decides by names: it averages what has ``loss`` in its name, and shows any other term of a loss as it was
    in one batch, beside the mean of their sum; and it averages a validation metric called so with earlier validations.
    Here learning rates and metrics are as they are, and everything else that an iteration gives is a mean.

    Args:
        window_size: Iterations that are averaged.
        by_epoch: Name epochs in the log; the runner says so for a loop that has them.
        custom_cfg: Further statistics, see MMEngine.
        num_digits: Decimals.
    """

    def __init__(self, window_size: int = 10, by_epoch: bool = True, custom_cfg: list[dict] | None = None,
                 num_digits: int = 4):
        super().__init__(window_size, by_epoch, custom_cfg, num_digits)

    def get_log_after_iter(self, runner, batch_idx: int, mode: str) -> tuple[dict[str, Any], str]:
        """Numbers and text after an iteration of ``mode`` (train, val or test)."""
        self.mean_pattern = _ALL_BUT_RATES if mode == 'train' else _TIMES
        return super().get_log_after_iter(runner, batch_idx, mode)

    def get_log_after_epoch(self, runner, batch_idx: int, mode: str,
                            with_non_scalar: bool = False) -> tuple[dict[str, Any], str]:
        """Numbers and text after an evaluation (``mode`` val or test)."""
        self.mean_pattern = _TIMES
        return super().get_log_after_epoch(runner, batch_idx, mode, with_non_scalar)
