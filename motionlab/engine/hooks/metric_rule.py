"""Which of two values of a metric is better."""

from motionlab.utils import ConfigError

_LESS = ('mpjpe', 'mpjve', 'error', 'loss', 'ade', 'fde', 'fid', 'jerk', 'penetration', 'skating', 'lpips')
_GREATER = ('pck', 'auc', 'acc', 'psnr', 'ssim', 'map', 'precision', 'recall', 'clip')


def infer_rule(metric: str, setting: str) -> str:
    """``less`` for errors (MPJPE, ...) and ``greater`` for scores (PCK, AUC, ...), by the metric's name.

    Args:
        metric: Name, with or without prefixes such as the test set's.
        setting: The config key that can give the rule instead, named in the message.

    Raises:
        ConfigError: the name says nothing, or both.
    """
    name = metric.lower()
    less, greater = any(part in name for part in _LESS), any(part in name for part in _GREATER)
    if less == greater:
        raise ConfigError(f"{setting}: whether a smaller '{metric}' is better cannot be told from its name: set "
                          f"{setting} to 'less' or 'greater'.")
    return 'less' if less else 'greater'


def is_better(rule: str, value: float, best: float | None) -> bool:
    """Whether ``value`` beats ``best`` (None: nothing yet). NaN never does."""
    if best is None:
        return value == value
    return value < best if rule == 'less' else value > best


def pick_metric(metrics: dict[str, float], name: str, setting: str) -> float:
    """``metrics[name]``.

    Raises:
        ConfigError: not there; the message lists what is.
    """
    if name not in metrics:
        raise ConfigError(f"{setting}: the validation has no metric '{name}'. It has: {', '.join(sorted(metrics))}.")
    return float(metrics[name])
