"""Stop when a metric no longer improves."""

from mmengine.hooks import Hook

from motionlab.engine.hooks.metric_rule import infer_rule, is_better, pick_metric
from motionlab.registry import HOOKS
from motionlab.utils import ConfigError


@HOOKS.register_module()
class EarlyStoppingHook(Hook):
    """End training after ``patience`` validations in a row without improvement; survives a resume.

    Args:
        monitor: Name of the metric.
        rule: ``less`` or ``greater`` (is better); None infers it from the name.
        min_delta: Improve by more than this, in the metric's unit.
        patience: Validations without improvement.

    Raises:
        ConfigError: ``rule`` cannot be inferred; the metric is missing at the first validation.
    """

    priority = 'LOW'  # Before checkpoints are written.

    def __init__(self, monitor: str, rule: str | None = None, min_delta: float = 0.0, patience: int = 5):
        if rule not in (None, 'less', 'greater'):
            raise ConfigError(f"EarlyStoppingHook.rule: found {rule!r}, expected 'less' or 'greater'.")
        self.monitor, self.min_delta, self.patience = monitor, min_delta, patience
        self.rule = rule or infer_rule(monitor, 'EarlyStoppingHook.rule')
        self.best: float | None = None
        self.waited = 0

    def after_resume(self, runner, checkpoint: dict) -> None:
        """Go on counting."""
        self.best = runner.message_hub.get_info('early_stopping_best')
        self.waited = runner.message_hub.get_info('early_stopping_waited', 0)

    def before_train(self, runner) -> None:
        """A run that had stopped stays stopped."""
        if self.waited >= self.patience:
            runner.train_loop.stop_training = True

    def after_val_epoch(self, runner, metrics: dict[str, float]) -> None:
        """Count a validation, or start over at an improvement."""
        value = pick_metric(metrics, self.monitor, 'EarlyStoppingHook.monitor')
        margin = self.min_delta if self.rule == 'less' else -self.min_delta
        if is_better(self.rule, value + margin, self.best):
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        runner.message_hub.update_info_dict(
            dict(early_stopping_best=self.best, early_stopping_waited=self.waited))
        if self.waited >= self.patience:
            runner.logger.info(f'{self.monitor} has not improved on {self.best:.4g} for {self.waited} validations: '
                               'stopping.')
            runner.train_loop.stop_training = True
