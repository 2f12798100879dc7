"""Terms of PRIMAL's objective, one number a sample: means over all elements of a sample, in float32.

Zhang et al., PRIMAL, ICCV 2025 (arXiv 2503.17544), and its acceleration fork. Samples have equally many elements, so
the mean over a batch is the mean of its samples.
"""

from torch import Tensor

NORMS = ('l1', 'l2')


def mean_difference(pred: Tensor, target: Tensor, norm: str = 'l2', channel_weights: Tensor | None = None) -> Tensor:
    """Mean squared (``'l2'``) or absolute (``'l1'``) difference of all elements of each sample.

    Args:
        pred: (B, ..., D).
        target: (B, ..., D).
        norm: ``'l2'`` or ``'l1'``.
        channel_weights: (D,) factors of the elements; the mean is still over their number.

    Returns:
        (B,)
    """
    off = pred.float() - target.float()
    off = off.abs() if norm == 'l1' else off.square()
    return (off if channel_weights is None else off * channel_weights).flatten(1).mean(1)


def difference_loss(points: Tensor, target: Tensor, order: int, scale: float, norm: str = 'l2') -> Tensor:
    """How far the differences of predicted points are from true velocities or accelerations.

    With ``order=1`` and n frames ``d(p_{t+1} - p_t, v_t)`` for t = 0 ... n - 2; with ``order=2``
    ``d(p_{t+2} - 2 p_{t+1} + p_t, a_t)`` for t = 0 ... n - 3: entry t of the targets looks ahead, so the last ``order``
    of them have no counterpart.

    Args:
        points: (B, n, P, 3) metres, n above ``order``.
        target: (B, n, P, 3) forward differences, feature units.
        order: 1 velocity, 2 acceleration.
        scale: Feature units per metre per frame (``order=1``) or per metre per frame^2.
        norm: ``'l2'`` or ``'l1'``.

    Returns:
        (B,)
    """
    return mean_difference(scale * points.float().diff(n=order, dim=1), target[:, :-order], norm)
